"""A receiver of webhooks on a real port, and a service that may send to it."""

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook

from service.auth.caller import ANONYMOUS
from service.webhooks.signature import new_signing_key, read_signing_keys, secret_of

LOOPBACK = "127.0.0.0/8,::1/128"


@dataclass
class Message:
    """A request that came."""

    path: str
    headers: dict[str, str]
    body: bytes

    def verified(self, *secrets):
        """The body as JSON, once each secret has verified it by the library of Standard Webhooks."""
        for secret in secrets:
            Webhook(secret).verify(self.body, self.headers)
        return json.loads(self.body)


class Receiver:
    """answers: status and headers of the next responses; then 204. held: requests wait until it is set."""

    def __init__(self, tls=None):
        self.messages, self.answers, self.go = [], [], threading.Event()
        self.go.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.messages.append(Message(self.path, dict(self.headers), body))
                status, headers = receiver.answers.pop(0) if receiver.answers else (204, {})
                receiver.go.wait(30)
                self.send_response(status)
                for name, value in {"Content-Length": "0", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()

            do_GET = do_POST  # noqa: N815

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # a client that left
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"http{'s' if tls else ''}://localhost:{self.port}"

    def wait(self, count=1, seconds=30):
        """The messages, once there are so many."""
        within(lambda: len(self.messages) >= count, seconds)
        return self.messages


@contextmanager
def receiving(tls=None):
    receiver = Receiver(tls)
    thread = threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.go.set()
        receiver.server.shutdown()
        receiver.server.server_close()
        thread.join()


def within(condition, seconds=30):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def write_signing_keys(path, count=1):
    path.write_text("# a comment\n" + "".join(f"{new_signing_key()}\n" for _ in range(count)))
    return path


def secrets(path, owner=ANONYMOUS):
    return [secret_of(key, owner) for key in read_signing_keys(path)]


def sending_to(receiver, keys, **settings):
    """Settings of a service that may send to a receiver on loopback."""
    return {
        "webhook_hosts": receiver.url, "webhook_networks": LOOPBACK, "webhook_keys_file": keys, **settings,
    }  # fmt: skip
