"""A real S3 server for tests: PyPI's moto in server mode, in an environment of its own."""

import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import obstore
import pytest
from obstore.store import S3Store

ROOT = Path(__file__).parents[3]
BUCKET = "photos"


class S3:
    """environment: what obstore needs to find the server."""

    def __init__(self, address):
        self.address = address
        self.environment = {
            "AWS_ENDPOINT": address, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        }  # fmt: skip
        self.store = S3Store(
            BUCKET, endpoint=address, region="us-east-1", access_key_id="test", secret_access_key="test",
            client_options={"allow_http": True},
        )  # fmt: skip

    def put(self, key, data):
        obstore.put(self.store, key, data)

    def delete(self, key):
        obstore.delete(self.store, key)

    def get(self, key):
        """(content, media type)"""
        found = obstore.get(self.store, key)
        return bytes(found.bytes()), found.attributes["Content-Type"]


@contextmanager
def s3_server(folder):
    """A server with an empty bucket."""
    program = ROOT / ".venv-s3/bin/moto_server"
    if not program.exists():
        pytest.skip("moto is not here: `make storage-tools` installs it")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with (folder / "moto.log").open("w") as log:
        process = subprocess.Popen([program, "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log)
    found = S3(f"http://127.0.0.1:{port}")
    try:
        while True:
            assert process.poll() is None, (folder / "moto.log").read_text()
            with suppress(httpx.TransportError):
                if httpx.put(f"{found.address}/{BUCKET}", trust_env=False).status_code == 200:
                    break
            time.sleep(0.1)
        yield found
    finally:
        process.kill()
        process.wait()


class Refusing(BaseHTTPRequestHandler):
    """An S3 whose credentials have expired."""

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append(self.command)
        body = f"<Error><Code>{self.server.code}</Code><Message>secret-token</Message></Error>".encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        self.do_GET()

    def log_message(self, *_):
        pass


@contextmanager
def refusing_server(status=403, code="ExpiredToken"):
    """A server that refuses credentials; its `requests` and `environment`."""
    with served(Refusing) as server:
        server.requests, server.status, server.code = [], status, code
        server.environment = {
            "AWS_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}", "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret-key",
        }  # fmt: skip
        yield server


@contextmanager
def served(handler):
    """A server of the standard library in a thread."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
