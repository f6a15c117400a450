"""docker/nginx/nginx.conf before several replicas: it finds them by DNS, and a dead or a full one is not noticed."""

import socket
import subprocess
import threading
import time
from contextlib import ExitStack, contextmanager

import httpx
import pytest
import uvicorn

from service.app import create_app
from service.models.registry import load_registry
from service.settings import Settings
from tests.conftest import encoded, listening, picture
from tests.deploy.tools import ROOT
from tests.end_to_end.test_proxies import replaced, tool
from tests.service.auth.test_quotas import free_port, redis, redis_server  # noqa: F401  # a fixture

PICTURE = encoded(picture(10, 10))
FULL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_A_RECORD = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04"
"""The name of the question, type A, class IN, one second, four bytes."""


@contextmanager
def names(*addresses):
    """The port of a DNS server that has these addresses for every name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def answer():
            while len(question := (received := server.recvfrom(512))[0]) > 1:
                known = addresses if question[-3] == 1 else ()  # not AAAA
                head = question[:2] + b"\x81\x80\x00\x01" + len(known).to_bytes(2) + bytes(4)
                records = b"".join(_A_RECORD + socket.inet_aton(each) for each in known)
                server.sendto(head + question[12:] + records, received[1])

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.sendto(b"", server.getsockname())
            thread.join()


@contextmanager
def faulty(host, port, response):
    """A replica that reads the head of a request, sends `response` and closes; the request lines that it had."""
    seen = []
    with socket.create_server((host, port)) as server:

        def serve():
            while True:
                connection, _ = server.accept()
                with connection:
                    if not (head := connection.recv(65536)):
                        return
                    seen.append(head.split(b"\r\n")[0])
                    connection.sendall(response)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield seen
        finally:
            socket.create_connection((host, port)).close()
            thread.join()


@contextmanager
def replica(checkpoints, host, port, **settings):
    app = create_app(
        Settings(checkpoints=checkpoints, device="cpu", precision="fp32", decoder="thread", **settings),
        load_registry(checkpoints),
    )
    config = uvicorn.Config(app, host, port, log_config=None, access_log=False)
    with listening(uvicorn.Server(config)):
        yield


@contextmanager
def nginx(folder, port, *addresses):
    """A client of nginx before replicas at these addresses."""
    with ExitStack() as stack:
        dns, own = stack.enter_context(names(*addresses)), free_port()
        text = replaced(
            (ROOT / "docker/nginx/nginx.conf").read_text(),
            ("127.0.0.11 ", f"127.0.0.1:{dns} "),
            ("listen 8080", f"listen 127.0.0.1:{own}"),
            ("replica:8000", f"replica:{port}"),
            ("/tmp/", f"{folder}/"),
        )
        (folder / "nginx.conf").write_text(text)
        command = [tool("nginx"), "-c", str(folder / "nginx.conf"), "-g", "daemon off; user root;"]
        errors = stack.enter_context((folder / "errors").open("w"))
        process = subprocess.Popen(command, stderr=errors)
        try:
            while True:
                assert process.poll() is None, (folder / "errors").read_text()
                try:
                    socket.create_connection(("127.0.0.1", own)).close()
                    break
                except OSError:
                    time.sleep(0.01)
            yield stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{own}", timeout=30, trust_env=False))
        finally:
            process.terminate()
            process.wait()


@pytest.fixture(scope="module")
def replicas(checkpoints, tmp_path_factory, redis_server):  # noqa: F811
    """The port of two replicas, at 127.0.0.2 and 127.0.0.3, with one job store."""
    with redis(redis_server, tmp_path_factory.mktemp("redis")) as (store, _), ExitStack() as stack:
        port = free_port()
        for host in ("127.0.0.2", "127.0.0.3"):
            settings = {"allow_anonymous": True, "job_store": f"redis://127.0.0.1:{store}/0"}
            stack.enter_context(replica(checkpoints, host, port, **settings))
        yield port


def test_another_replica_answers_for_one_that_dies_or_is_full(replicas, tmp_path):
    with (
        faulty("127.0.0.4", replicas, b"") as died,
        faulty("127.0.0.5", replicas, FULL) as full,
        nginx(tmp_path, replicas, "127.0.0.2", "127.0.0.4", "127.0.0.5") as client,
    ):
        responses = [client.post("/upscale?factor=2", content=PICTURE) for _ in range(12)]
        assert {response.status_code for response in responses} == {200}
        assert died
        assert full
        hidden = [client.get("/metrics"), client.post("/models/reload")]
        assert [response.status_code for response in hidden] == [404, 404]


def test_any_replica_knows_a_job(replicas, tmp_path):
    with nginx(tmp_path, replicas, "127.0.0.2", "127.0.0.3", "127.0.0.6") as client:  # nothing listens at the last
        expected = client.post("/upscale?factor=2", content=PICTURE).content
        for _ in range(6):
            job = client.post("/upscale?factor=2", content=PICTURE, headers={"Prefer": "respond-async"})
            assert job.status_code == 202
            assert "event: done" in client.get(f"{job.headers['location']}/events").text
            assert client.get(f"{job.headers['location']}/result").content == expected


def test_a_largest_body_passes(replicas, tmp_path):
    with nginx(tmp_path, replicas, "127.0.0.2") as client:
        response = client.post("/upscale?factor=2", content=bytes(Settings.model_fields["max_body_bytes"].default))
        assert response.status_code == 415
        assert response.headers["content-type"] == "application/problem+json"
