"""nginx before replicas of the service, with the documented configuration: docker/nginx/nginx.conf."""

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

CONFIGURATION = Path(__file__).resolve().parent.parent / "docker" / "nginx" / "nginx.conf"
_A_RECORD = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04"
"""The name of the question, type A, class IN, one second, four bytes."""

_START_SECONDS = 20.0


def program() -> str | None:
    """Return the path of nginx, if it is installed."""
    return shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


@contextmanager
def names(*addresses: str) -> Iterator[int]:
    """Run a DNS server that has these addresses for every name; yields its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def answer() -> None:
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
def nginx(folder: Path, port: int, *addresses: str) -> Iterator[str]:
    """Run nginx before replicas that listen on `port` of each address; yields its URL. folder: for its files."""
    found = program()
    assert found, "nginx is not installed (Debian: apt-get install nginx)"
    with ExitStack() as stack:
        dns, own = stack.enter_context(names(*addresses)), _free_port()
        text = CONFIGURATION.read_text()
        for old, new in (
            ("127.0.0.11 ", f"127.0.0.1:{dns} "),
            ("listen 8080", f"listen 127.0.0.1:{own}"),
            ("replica:8000", f"replica:{port}"),
            ("/tmp/", f"{folder}/"),  # noqa: S108  # as the container has it
        ):
            assert old in text, old
            text = text.replace(old, new)
        (folder / "nginx.conf").write_text(text)
        command = [found, "-c", str(folder / "nginx.conf"), "-g", "daemon off; user root;"]
        errors = stack.enter_context((folder / "errors").open("w"))
        process = subprocess.Popen(command, stderr=errors)
        try:
            until = time.monotonic() + _START_SECONDS
            while not _listens(own):
                assert process.poll() is None, (folder / "errors").read_text()
                assert time.monotonic() < until, "nginx does not listen"
                time.sleep(0.01)
            yield f"http://127.0.0.1:{own}"
        finally:
            process.terminate()
            process.wait()


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
