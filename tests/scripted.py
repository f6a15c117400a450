"""A server that does what a test tells it, on a real port: for the moods that a real service has seldom."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

HANG_UP = b""
"""Close the connection when the request has come, and say nothing."""

SILENCE = b"silence"
"""Say nothing, and keep the connection until the other side closes it."""


def answer(status: int, body: bytes, kind: str = "image/png", **headers: object) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + body


def problem(status: int, code: str, detail: str = "no", **more: object) -> bytes:
    headers = {name: more.pop(name) for name in ("Retry_After",) if name in more}
    content = {"type": f"urn:impasto:problem:{code}", "status": status, "code": code, "detail": detail, **more}
    return answer(status, json.dumps(content).encode(), "application/problem+json", **headers)


class Scripted:
    """Gives the answers of `script` one by one, the last one for ever. `requests`: what was asked, head and body."""

    def __init__(self, script: list[bytes]) -> None:
        self.script, self.requests, self._lock = list(script), [], threading.Lock()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            data = b""
            while b"\r\n\r\n" not in data:
                more = connection.recv(65536)
                if not more:
                    return
                data += more
            head, _, body = data.partition(b"\r\n\r\n")
            length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b": 0")
            while len(body) < int(length.split(b":")[1]):
                body += connection.recv(65536)
            with self._lock:
                said = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                self.requests.append((head.decode(), body))
            if said is SILENCE:
                connection.recv(1)
            else:
                connection.sendall(said)


@contextmanager
def scripted(*script: bytes) -> Iterator[Scripted]:
    server = Scripted(list(script))
    try:
        yield server
    finally:
        server.close()
