"""The reverse proxies of docs/troubleshooting.md, as documented: nginx and Caddy, at the root and below a prefix."""

import os
import re
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.conftest import encoded, picture
from tests.service.auth.test_quotas import free_port

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "troubleshooting.md").read_text()
PICTURE = encoded(picture())


def tool(name):
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        message = f"no {name} on this machine (Debian: apt-get install {name})"
        if os.environ.get("IMPASTO_REQUIRE_TOOLS"):
            pytest.fail(message)
        pytest.skip(message)
    return found


def documented(language, proxy, prefix):
    """The configuration in the page, with the replacements that its table names for a prefix."""
    (config,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    if prefix:
        rows = re.findall(rf"^\| {proxy} \| `(.+?)` \| `(.+?)`", PAGE, re.MULTILINE)
        assert rows
        for old, new in rows:
            assert config.count(old) == 1, old
            config = config.replace(old, re.sub(r"\{ (?=\w)", "{\n", new).replace(" }", "\n}") if "{ " in new else new)
    return config


def replaced(text, *pairs):
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


def nginx(folder, service, prefix):
    """(command, base URL, environment) of an nginx with a certificate of its own."""
    names = {
        "/etc/ssl/images.example.org/fullchain.pem": "chain.pem",
        "/etc/ssl/images.example.org/privkey.pem": "key.pem",
    }
    chain, key = (str(folder / name) for name in names.values())
    subject = ["-subj", "/CN=images.example.org", "-days", "2"]
    command = [
        tool("openssl"),
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        key,
        "-out",
        chain,
        *subject,
    ]
    subprocess.run(command, check=True, capture_output=True)
    port = free_port()
    pairs = [(old, str(folder / new)) for old, new in names.items()]
    text = documented("nginx", "nginx", prefix)
    text = replaced(text, *pairs, ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"), ("127.0.0.1:8000", service))
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{temporary}{text}\n}}\n"
    )
    return [tool("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")], f"https://127.0.0.1:{port}", {}


def caddy(folder, service, prefix):
    """(command, base URL, environment) of a Caddy without TLS: a certificate would have to come from elsewhere."""
    port = free_port()
    pairs = (("images.example.org {", f"http://127.0.0.1:{port} {{"), ("127.0.0.1:8000", service))
    text = replaced(documented("caddy", "Caddy", prefix), *pairs)
    (folder / "Caddyfile").write_text("{\nadmin off\n}\n" + text)
    command = [tool("caddy"), "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]
    return command, f"http://127.0.0.1:{port}", {"HOME": str(folder)}


@contextmanager
def proxied(make, folder, address, prefix):
    """A client of the service behind a running proxy."""
    command, url, environment = make(folder, address.removeprefix("http://"), prefix)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **environment})
    try:
        with httpx.Client(base_url=url, verify=False, timeout=30, trust_env=False) as client:
            until = time.monotonic() + 20
            while True:
                assert process.poll() is None, (folder / "log").read_text()
                try:
                    client.get(f"{prefix}/livez")
                    break
                except httpx.TransportError:
                    assert time.monotonic() < until
                    time.sleep(0.05)
            yield client
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize("prefix", ["", "/impasto"], ids=["at the root", "below a prefix"])
@pytest.mark.parametrize("make", [nginx, caddy])
def test_the_documented_proxy(address, tmp_path, make, prefix):
    with proxied(make, tmp_path, address, prefix) as client:
        output = client.post(f"{prefix}/upscale?factor=2", content=PICTURE)
        assert (output.status_code, output.headers["content-type"]) == (200, "image/png")

        job = client.post(f"{prefix}/upscale?factor=2", content=PICTURE, headers={"Prefer": "respond-async"})
        location = job.headers["location"]
        assert (job.status_code, location.rpartition("/")[0]) == (202, f"{prefix}/jobs")
        assert "event: done" in client.get(f"{location}/events").text
        assert client.get(f"{location}/result").content == output.content

        moved = client.post(f"{prefix}/upscale/?factor=2", content=PICTURE, follow_redirects=True)
        assert (moved.status_code, moved.content) == (200, output.content)

        page = client.get(f"{prefix}/")
        links = re.findall(r'(?:href|src)="([^":#]+)"', page.text)
        assert len(links) >= 4
        assert {client.get(page.url.join(link)).status_code for link in links} == {200}
        (document,) = set(re.findall(r'"([^"]*openapi\.json)"', client.get(f"{prefix}/docs").text))
        assert client.get(page.url.join(document)).json()["info"]["title"] == "Impasto"

        hidden = [client.get(f"{prefix}/metrics"), client.post(f"{prefix}/models/reload")]
        assert [response.status_code for response in hidden] == [404, 404]
        assert not any("impasto_" in response.text for response in hidden)
        if prefix:
            assert "impasto_" not in client.get("/metrics").text
