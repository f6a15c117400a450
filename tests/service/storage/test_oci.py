"""Checkpoints as an OCI artefact: Debian's docker-registry where it is installed, and a small registry that may lie."""

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler

import httpx
import pytest

from service.errors import StartupError
from service.models.registry import registry_from_settings
from service.settings import Settings
from tests.conftest import save_net, tiny_style_net, tiny_upscaler
from tests.service.auth.test_keys import service
from tests.service.auth.test_quotas import free_port
from tests.service.storage.s3 import served as serve
from tests.service.storage.test_mirror import served
from tests.service.webhooks.receiver import within

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
PACKED = "application/vnd.oci.image.layer.v1.tar+gzip"
TITLE, UNPACK = "org.opencontainers.image.title", "io.deis.oras.content.unpack"


def digest_of(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def layer(data, title=None, media_type="application/octet-stream", **notes):
    """(descriptor, data)"""
    annotations = notes | ({TITLE: title} if title else {})
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data), "annotations": annotations}, data


def archive(files, compress=gzip.compress):
    """A tar archive of {name: content}; None makes a link to /etc/passwd."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.type = (len(content), tarfile.REGTYPE) if content is not None else (0, tarfile.SYMTYPE)
            member.linkname = "" if content is not None else "/etc/passwd"
            tar.addfile(member, io.BytesIO(content or b""))
    return compress(made.getvalue())


def folder_layer(name, files):
    """A folder, as `oras push` packs it."""
    data = archive({f"{name}/{each}": content for each, content in files.items()})
    return layer(data, name, PACKED, **{UNPACK: "true"})


def manifest_of(layers):
    config = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(b"{}"), "size": 2}
    made = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [each for each, _ in layers]}
    return json.dumps(made).encode()


class Small(BaseHTTPRequestHandler):
    """A registry whose contents are the `objects` of its server, by path; `token`: what it asks for."""

    def do_GET(self):
        server, path = self.server, self.path.partition("?")[0]
        server.requests.append(path)
        if path == "/token":
            return self.answer(200, json.dumps({"token": server.token}).encode())
        if server.token and self.headers.get("Authorization") != f"Bearer {server.token}":
            realm = f"http://127.0.0.1:{server.server_address[1]}/token"
            return self.answer(401, b"", f'Bearer realm="{realm}",service="small",scope="repository:nets:pull"')
        if server.status != 200 or path not in server.objects:
            return self.answer(server.status if server.status != 200 else 404, b"{}")
        return self.answer(200, server.objects[path])

    def answer(self, status, body, challenge=""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if challenge:
            self.send_header("WWW-Authenticate", challenge)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class SmallRegistry:
    def __init__(self, server):
        self.server, self.host = server, f"127.0.0.1:{server.server_address[1]}"
        server.objects, server.requests, server.token, server.status = {}, [], "", 200

    def push(self, layers, tag="latest"):
        """The digest of the manifest."""
        text = manifest_of(layers)
        for name in (tag, digest_of(text)):
            self.server.objects[f"/v2/team/nets/manifests/{name}"] = text
        for descriptor, data in layers:
            self.server.objects[f"/v2/team/nets/blobs/{descriptor['digest']}"] = data
        return digest_of(text)


class DebianRegistry:
    def __init__(self, host):
        self.host, self.base = host, f"http://{host}/v2/team/nets"

    def push(self, layers, tag="latest"):
        with httpx.Client(trust_env=False) as client:
            for data in (b"{}", *(data for _, data in layers)):
                begun = client.post(f"{self.base}/blobs/uploads/")
                to = httpx.URL(begun.headers["location"]).copy_merge_params({"digest": digest_of(data)})
                assert client.put(to, content=data).status_code == 201
            text = manifest_of(layers)
            put = client.put(f"{self.base}/manifests/{tag}", content=text, headers={"Content-Type": MANIFEST})
            assert put.status_code == 201, put.text
            return put.headers["docker-content-digest"]


@contextmanager
def debian_registry(folder):
    program, port = shutil.which("docker-registry"), free_port()
    if program is None:
        pytest.skip("docker-registry is not here: apt install docker-registry")
    config = folder / "registry.yml"
    store = {"filesystem": {"rootdirectory": str(folder / "registry")}}
    config.write_text(json.dumps({"version": 0.1, "storage": store, "http": {"addr": f"127.0.0.1:{port}"}}))
    with (folder / "registry.log").open("w") as log:
        environment = {"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"}
        process = subprocess.Popen([program, "serve", config], stdout=log, stderr=log, env=environment)
    try:
        while True:
            assert process.poll() is None, (folder / "registry.log").read_text()
            with suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{port}/v2/", trust_env=False).status_code == 200:
                    break
            time.sleep(0.05)
        yield DebianRegistry(f"127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def small():
    with serve(Small) as server:
        yield SmallRegistry(server)


@pytest.fixture(params=["small", "debian"])
def registry(request, tmp_path):
    if request.param == "small":
        yield request.getfixturevalue("small")
    else:
        with debian_registry(tmp_path) as found:
            yield found


@pytest.fixture
def net(tmp_path):
    """Make a network; the content of its file."""

    def make(name, network):
        return save_net(tmp_path / "made", name, network).read_bytes()

    return make


def read(cache, source, **settings):
    return registry_from_settings(Settings(checkpoints=cache, checkpoint_source=source, **settings))


def test_files_and_folders_are_copied_and_a_tag_is_watched(registry, net, tmp_path):
    style = {"mosaic.safetensors": net("mosaic", tiny_style_net()), "notes.txt": b"not a checkpoint"}
    upscaler = layer(net("x2", tiny_upscaler(2)), "upscale/x2.safetensors")
    registry.push([folder_layer("stylize", style), upscaler, layer(b"of the artefact", "README.md")])
    cache, source = tmp_path / "cache", f"oci://{registry.host}/team/nets:latest"
    with service(cache, checkpoint_source=source, watch_seconds=0.1, loading="eager") as client:
        before = served(client)
        assert set(before) == {"stylize/mosaic", "upscale/x2"}
        assert not list(cache.rglob("*.txt")) + list(cache.rglob("*.md"))
        changed = {
            "mosaic.safetensors": net("mosaic", tiny_style_net(seed=1)),
            "wave.safetensors": net("wave", tiny_style_net(seed=2)),
        }
        registry.push([folder_layer("stylize", changed)])
        within(lambda: set(served(client)) == {"stylize/mosaic", "stylize/wave"})
        within(lambda: served(client)["stylize/mosaic"] != before["stylize/mosaic"])
        within(lambda: len(list((cache / ".layers").iterdir())) == 1)


def test_a_digest_is_pinned_and_needs_the_registry_once(registry, net, tmp_path):
    pinned = registry.push([layer(net("mosaic", tiny_style_net()), "stylize/mosaic.safetensors")])
    registry.push([layer(net("wave", tiny_style_net()), "stylize/wave.safetensors")])
    source = f"oci://{registry.host}/team/nets@{pinned}"
    assert set(read(tmp_path / "cache", source).entries) == {"stylize/mosaic"}


def test_a_pinned_copy_is_served_without_the_registry_and_in_no_others_place(small, net, tmp_path, caplog):
    pinned = small.push([layer(net("mosaic", tiny_style_net()), "stylize/mosaic.safetensors")])
    cache, name = tmp_path / "cache", f"oci://{small.host}/team/nets"
    read(cache, f"{name}@{pinned}")
    small.server.requests.clear()
    with service(cache, checkpoint_source=f"{name}@{pinned}", watch_seconds=0.05) as client:
        time.sleep(0.3)
        assert set(served(client)) == {"stylize/mosaic"}
    assert small.server.requests == []
    (cache / "stylize/mosaic.safetensors").unlink()
    read(cache, f"{name}@{pinned}")
    small.server.status = 500
    with pytest.raises(StartupError, match=r"nets@sha256:0+: the registry answered 500"):
        read(cache, f"{name}@sha256:{'0' * 64}")
    read(cache, f"{name}@{pinned}")
    assert "served as it is" not in caplog.text


def test_a_registry_that_goes_away_changes_nothing_and_is_logged(small, net, tmp_path, caplog):
    small.push([layer(net("mosaic", tiny_style_net()), "stylize/mosaic.safetensors")])
    cache, source = tmp_path / "cache", f"oci://{small.host}/team/nets:latest"
    with service(cache, checkpoint_source=source, watch_seconds=0.05) as client:
        small.server.status = 503
        within(lambda: "the checkpoints stay as they were copied" in caplog.text)
        assert set(served(client)) == {"stylize/mosaic"}
    assert set(read(cache, source).entries) == {"stylize/mosaic"}
    assert "the copy of the checkpoints is served as it is" in caplog.text


def test_a_public_registry_may_ask_for_a_token(small, net, tmp_path):
    small.push([layer(net("mosaic", tiny_style_net()), "stylize/mosaic.safetensors")])
    small.server.token = "anonymous"
    assert set(read(tmp_path / "cache", f"oci://{small.host}/team/nets:latest").entries) == {"stylize/mosaic"}
    assert small.server.requests.count("/token") == 1


def test_a_modelkit_is_unpacked(small, net, tmp_path):
    """KitOps packs paths, without titles, as tar archives with or without compression."""
    one, two = net("mosaic", tiny_style_net()), net("x2", tiny_upscaler(2))
    kit = "application/vnd.kitops.modelkit.model.v1.tar"
    packed = archive({"stylize/mosaic.safetensors": one, "stylize/link.safetensors": None})
    plain = archive({"./upscale/x2.safetensors": two}, compress=bytes)
    small.push([layer(packed, media_type=f"{kit}+gzip"), layer(plain, media_type=kit)])
    found = read(tmp_path / "cache", f"oci://{small.host}/team/nets:latest")
    assert set(found.entries) == {"stylize/mosaic", "upscale/x2"}
    assert not list((tmp_path / "cache").rglob("link*"))


def test_what_the_registry_sends_is_verified(small, net, tmp_path):
    content = net("mosaic", tiny_style_net())
    pinned = small.push([layer(content, "stylize/mosaic.safetensors")])
    blob = f"/v2/team/nets/blobs/{digest_of(content)}"
    source = f"oci://{small.host}/team/nets@{pinned}"
    for sent, said in [
        (content[:-1] + b"?", "other bytes than those"),
        (content[:-1], "other bytes"),
        (content * 2, "more than"),
    ]:
        small.server.objects[blob] = sent
        with pytest.raises(StartupError, match=said):
            read(tmp_path / "cache", source)
        assert not list((tmp_path / "cache").rglob("*mosaic*"))
    small.server.objects[f"/v2/team/nets/manifests/{pinned}"] += b" "
    with pytest.raises(StartupError, match="the manifest does not have the digest"):
        read(tmp_path / "cache", source)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (layer(b"x", "../stylize/a.safetensors"), r"it has a file '../stylize/a.safetensors'"),
        (layer(b"x", "/etc/a.safetensors"), r"it has a file '/etc/a.safetensors'"),
        (layer(b"x", "stylize/../../a"), "expected a relative path without dotted segments"),
        (layer(archive({"stylize/../../a": b"x"}), media_type=PACKED), r"it has a file 'stylize/\.\./\.\./a'"),
        (layer(archive({"/stylize/a.safetensors": b"x"}), "stylize", PACKED), "it has a file '/stylize"),
        (layer(b"not an archive", media_type=PACKED), "an archive in it cannot be read"),
        (layer(archive({"a" * 40: b"x" * 9999})[:60], media_type=PACKED), "an archive in it cannot be read"),
        (layer(b"x", "readme.md"), "there are no checkpoints"),
        (({"mediaType": "x", "digest": "sha256:../../x", "size": 1}, b""), "its manifest is not that of an artefact"),
        (({"mediaType": "x", "digest": "md5:0", "size": 1}, b""), "its manifest is not that of an artefact"),
        (({"digest": digest_of(b"x"), "size": "many"}, b""), "its manifest is not that of an artefact"),
    ],
)
def test_a_malformed_artefact_stops_the_start_and_leaves_nothing(small, tmp_path, made, said):
    small.push([made])
    with pytest.raises(StartupError, match=f"IMPASTO_CHECKPOINT_SOURCE=oci://.*: .*{said}"):
        read(tmp_path / "cache", f"oci://{small.host}/team/nets:latest")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("oci://127.0.0.1:9/team/nets:latest", r"the registry does not respond as expected \(ConnectError\)"),
        ("oci://127.0.0.1:9/team/nets", "it is malformed; expected oci://host/name:tag"),
        ("oci://127.0.0.1:9/Team/nets:latest", "it is malformed"),
        ("oci://127.0.0.1:9/team/../nets:latest", "it is malformed"),
        ("oci://127.0.0.1:9/team/nets@sha256:12", "it is malformed"),
        ("oci://user@host/nets:latest", "it is malformed"),
        ("oci://host", "it is malformed"),
    ],
)
def test_a_source_that_is_away_or_malformed_stops_the_start(tmp_path, source, said):
    with pytest.raises(StartupError, match=f"IMPASTO_CHECKPOINT_SOURCE={re.escape(source)}: {said}"):
        read(tmp_path / "cache", source)


@pytest.mark.parametrize(
    ("status", "said"), [(401, "asks for an account"), (404, "no such artefact"), (500, "answered 500")]
)
def test_a_refusal_is_said_plainly_after_one_request(small, tmp_path, status, said):
    small.server.status = status
    with pytest.raises(StartupError, match=said):
        read(tmp_path / "cache", f"oci://{small.host}/team/nets:latest")
    assert len(small.server.requests) == 1
