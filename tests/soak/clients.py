"""Clients of every kind, good and bad. Each does one thing and notes in the book what became of it."""

import io
import random
import select
import socket
import time
from contextlib import suppress

import httpx
import numpy as np
from PIL import Image

from tests.conftest import encoded, picture
from tests.service.faults import BUG, NOT_A_NUMBER, faulty_picture
from tests.service.images.test_hostile_files import mutated, to_mutate
from tests.soak.book import Book

BUSY = {503}
LOST_DECODER = "crashed its decoder"
GONE = (httpx.TransportError, OSError)


class Client:
    """One of many: a seed, a connection of its own, and a book that all share."""

    def __init__(self, address: str, book: Book, seed: int, decoder_crashes: bool = False) -> None:
        self.dice, self.book = random.Random(seed), book
        self.http = httpx.Client(base_url=address, timeout=120, trust_env=False)
        host, port = address.removeprefix("http://").split(":")
        self.host, self.crashes = (host, int(port)), decoder_crashes

    def close(self) -> None:
        self.http.close()

    def post(self, name: str, url: str, body: bytes, allowed: set[object], **headers: str) -> httpx.Response | None:
        route = url.partition("?")[0]
        try:
            response = self.http.post(url, content=body, headers=headers)
        except GONE as error:
            self.book.note(name, route, "broken", allowed, repr(error))
            return None
        if self.crashes and response.status_code == 422 and LOST_DECODER in response.text:
            allowed = allowed | {422}
        told = response.text[:300] if response.status_code != 200 else ""
        self.book.note(name, route, response.status_code, allowed, told)
        return response

    def good(self) -> None:
        height, width = self.dice.randrange(24, 200), self.dice.randrange(24, 200)
        body = encoded(picture(height, width, self.dice.randrange(100)), self.dice.choice(["jpeg", "png", "webp"]))
        url, factor = self.dice.choice(
            [("/stylize?style=mosaic", 1), ("/stylize?style=swapped", 1), ("/upscale?factor=4", 4)]
        )
        response = self.post("good", url, body, {200} | BUSY)
        if response is not None and response.status_code == 200:
            assert Image.open(io.BytesIO(response.content)).size == (factor * width, factor * height)

    def broken(self) -> None:
        files = to_mutate()
        data = mutated(files[self.dice.randrange(len(files))], self.dice)
        self.post("broken file", "/upscale?factor=4", data, {200, 413, 415, 422} | BUSY)

    def wrong(self) -> None:
        """One of many ways to ask wrongly."""
        body = encoded(picture(20, 20))
        url, data, status = self.dice.choice(
            [
                ("/stylize?style=nobody", body, 404),
                ("/stylize", body, 422),
                ("/upscale?factor=0.5", body, 422),
                ("/upscale?factor=4&factor=4", body, 422),
                ("/upscale?factor=4&surprise=1", body, 422),
                ("/upscale?factor=4&format=jpeg&lossless=true", body, 422),
                ("/upscale?factor=4", b"", 422),
                ("/upscale?factor=4", b"%PDF-1.7", 415),
                ("/upscale?factor=4", body[: len(body) // 2], 422),
            ]
        )
        self.post("wrong", url, data, {status} | BUSY)

    def failing(self) -> None:
        code = self.dice.choice([BUG, NOT_A_NUMBER])
        self.post("failing network", "/upscale?factor=2", encoded(faulty_picture(code)), {500} | BUSY)

    def hanging_up(self) -> None:
        """Leaves half way through the body, or before the answer."""
        body = encoded(picture(100, 150), "jpeg")
        head = f"POST /upscale?factor=4 HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        sent = head + body[: len(body) // self.dice.choice([1, 1, 2, 10])]
        with socket.create_connection(self.host) as connection:
            connection.sendall(sent)
            time.sleep(self.dice.choice([0, 0.002, 0.02]))
            connection.shutdown(socket.SHUT_WR)
            # So long as the service may still answer, what it says is read: a reset could take the request back.
            if self.dice.random() < 0.5:
                connection.settimeout(60)
                with suppress(ConnectionResetError):
                    while connection.recv(65536):
                        pass
        self.book.note("disconnecting", "/upscale", "disconnected", {"disconnected"})

    def slow(self) -> None:
        """A good request in drops, a second or two long."""
        body = encoded(picture(60, 90), "jpeg")
        head = f"POST /stylize?style=mosaic HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n"
        data = head.encode() + b"Connection: close\r\n\r\n" + body
        answer = b""
        with socket.create_connection(self.host) as connection:
            connection.settimeout(120)
            with suppress(ConnectionResetError, BrokenPipeError):  # a part was on its way when it was refused
                for part in np.array_split(np.frombuffer(data, np.uint8), 20):
                    if select.select([connection], [], [], self.dice.random() / 10)[0]:
                        break  # it is refused before all of it has come
                    connection.sendall(part.tobytes())
                while more := connection.recv(65536):
                    answer += more
        status = int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else "disconnected"
        allowed = {200, "disconnected"} | BUSY | ({422} if self.crashes and LOST_DECODER.encode() in answer else set())
        self.book.note("slow", "/stylize", status, allowed, repr(answer[-300:]))

    def job(self) -> None:
        """An answer later: every promise is kept."""
        body = encoded(picture(50, 70, self.dice.randrange(100)))
        response = self.post("job", "/stylize?style=mosaic", body, {202} | BUSY, Prefer="respond-async")
        if response is None or response.status_code != 202:
            return
        place = response.headers["location"]
        while (status := self.http.get(place).json())["state"] in {"queued", "running"}:
            time.sleep(0.05)
        lost = self.crashes and LOST_DECODER in str(status.get("problem"))
        gone = status.get("problem", {}).get("status") == 503
        if status["state"] != "done" and not lost and not gone:
            self.book.surprises.append(f"job: {status}")
        if status["state"] == "done":
            assert self.http.get(f"{place}/result").status_code == 200
        self.http.delete(place)
