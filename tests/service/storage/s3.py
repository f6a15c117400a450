"""A real S3 server for tests: PyPI's moto in server mode, in an environment of its own."""

import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path

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
