"""docker/nginx/nginx.conf before several replicas: it finds them by DNS, and a dead or a full one is not noticed."""

import socket
import threading
from contextlib import ExitStack, contextmanager

import httpx
import pytest
import uvicorn

from benchmarks.nginx import nginx
from service.app import create_app
from service.models.registry import load_registry
from service.settings import Settings
from tests.conftest import encoded, listening, picture
from tests.end_to_end.test_proxies import tool
from tests.service.auth.test_quotas import free_port, redis, redis_server  # noqa: F401  # a fixture

PICTURE = encoded(picture(10, 10))
FULL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


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
def proxied(folder, port, *addresses):
    """A client of nginx before replicas at these addresses."""
    tool("nginx")
    with (
        nginx(folder, port, *addresses) as address,
        httpx.Client(base_url=address, timeout=30, trust_env=False) as client,
    ):
        yield client


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
        proxied(tmp_path, replicas, "127.0.0.2", "127.0.0.4", "127.0.0.5") as client,
    ):
        responses = [client.post("/upscale?factor=2", content=PICTURE) for _ in range(12)]
        assert {response.status_code for response in responses} == {200}
        assert died
        assert full
        hidden = [client.get("/metrics"), client.post("/models/reload")]
        assert [response.status_code for response in hidden] == [404, 404]


def test_any_replica_knows_a_job(replicas, tmp_path):
    with proxied(tmp_path, replicas, "127.0.0.2", "127.0.0.3", "127.0.0.6") as client:  # nothing listens at the last
        expected = client.post("/upscale?factor=2", content=PICTURE).content
        for _ in range(6):
            job = client.post("/upscale?factor=2", content=PICTURE, headers={"Prefer": "respond-async"})
            assert job.status_code == 202
            assert "event: done" in client.get(f"{job.headers['location']}/events").text
            assert client.get(f"{job.headers['location']}/result").content == expected


def test_a_largest_body_passes(replicas, tmp_path):
    with proxied(tmp_path, replicas, "127.0.0.2") as client:
        response = client.post("/upscale?factor=2", content=bytes(Settings.model_fields["max_body_bytes"].default))
        assert response.status_code == 415
        assert response.headers["content-type"] == "application/problem+json"
