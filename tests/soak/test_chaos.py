"""Everything at once, for minutes: bad clients beside good ones, and a service to which things happen. `make soak`.

IMPASTO_SOAK_MINUTES: of the mixed run (8). IMPASTO_SOAK_REQUESTS: bad ones (10,000). IMPASTO_MUTATIONS: files (5,000).
Figures go to out/soak.json, and with `python benchmarks/document.py` into docs/results.md.
"""

import os
import random
import shutil
import signal
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.conftest import encoded, picture, save_net, tiny_style_net, tiny_upscaler
from tests.end_to_end.test_serve import ROOT
from tests.service.faults import LOST, faulty_picture
from tests.service.images.test_hostile_files import mutated, to_mutate
from tests.soak.book import Book, account, metrics, record, settle
from tests.soak.clients import Client
from tests.soak.process import Watched, watched

pytestmark = [pytest.mark.soak, pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")]

MINUTES = float(os.environ.get("IMPASTO_SOAK_MINUTES", "8"))
BAD_REQUESTS = int(os.environ.get("IMPASTO_SOAK_REQUESTS", "10000"))
MUTATIONS = int(os.environ.get("IMPASTO_MUTATIONS", "5000"))
KEY = "a key of the soak, long enough"
MOST_GROWTH = 1.05


@pytest.fixture
def folder(tmp_path):
    """Bundled networks, and one that is swapped all the time."""
    for name in ("trunks/atelier", "stylize/mosaic", "upscale/x2"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / "checkpoints" / f"{name}.safetensors", tmp_path / f"{name}.safetensors")
    save_net(tmp_path, "swapped", tiny_style_net())
    save_net(tmp_path, "x4", tiny_upscaler(4))  # in the place of x2 there may be a network that fails when asked to
    return tmp_path


def calm(service: Watched, client: httpx.Client) -> tuple[float, int]:
    """MiB and open files when nothing has happened for a while. Every decoder has had a picture."""
    time.sleep(2)  # a decoder that was sent a signal takes a moment to end
    for _ in range(30):
        assert client.post("/upscale?factor=4", content=encoded(picture(200, 200), "jpeg")).status_code == 200
    settle(client)
    time.sleep(12)  # idle connections are closed after 5 s, free memory is returned after 10
    assert client.post("/upscale?factor=4", content=encoded(picture(200, 200), "jpeg")).status_code == 200
    time.sleep(1)  # it is given back after the answer
    return statistics.median(service.memory_mib() for _ in range(5)), service.open_files


class Run:
    """Clients and troubles on threads, for some seconds."""

    def __init__(self, service: Watched, book: Book) -> None:
        self.service, self.book = service, book
        self.counts = {"swaps": 0, "decoders_killed": 0, "stops": 0, "floods": 0}
        self._stop = threading.Event()

    def go(self, seconds: float, folder: Path, seed: int) -> None:
        clients = [Client(self.service.address, self.book, seed * 1000 + each, True) for each in range(11)]
        a, b, c, d, e, f, g, h, *flooders = clients
        work = [(a.good, 0), (b.good, 0.02), (c.broken, 0.02), (d.wrong, 0.02), (e.failing, 0.2)]
        work += [(f.hanging_up, 0.05), (g.slow, 0), (h.job, 0.1)]
        work += [
            (lambda: self._flood(flooders), 15),
            (lambda: self._swap(folder), 1),
            (self._kill_a_decoder, 7),
            (self._stop_and_go_on, 20),
            (self._look, 0.5),
        ]
        try:
            with ThreadPoolExecutor(len(work)) as threads:
                running = [threads.submit(self._again, *each) for each in work]
                until = time.monotonic() + seconds
                while time.monotonic() < until and not any(each.done() for each in running):
                    time.sleep(0.2)
                self._stop.set()
                for each in running:
                    each.result()
        finally:
            self._stop.clear()
            for client in clients:
                client.close()

    def _again(self, act: Callable[[], None], pause: float) -> None:
        while not self._stop.is_set():
            act()
            self._stop.wait(pause)

    def _flood(self, flooders: list[Client]) -> None:
        """All of them at once, many times."""
        self.counts["floods"] += 1
        with ThreadPoolExecutor(24) as threads:
            for each in range(120):
                threads.submit(flooders[each % len(flooders)].good)

    def _swap(self, folder: Path) -> None:
        save_net(folder, "swapped", tiny_style_net(self.counts["swaps"] % 7))
        with self.service.client() as client:
            answer = client.post("/models/reload", headers={"Authorization": f"Bearer {KEY}"})
        assert answer.json()["refused"] == [], answer.text
        self.counts["swaps"] += 1

    def _kill_a_decoder(self) -> None:
        decoders = self.service.decoders
        if decoders:
            self.counts["decoders_killed"] += 1
            os.kill(random.choice(decoders), signal.SIGSEGV)

    def _stop_and_go_on(self) -> None:
        self.counts["stops"] += 1
        self.service.signal(signal.SIGSTOP)
        time.sleep(1)
        self.service.signal(signal.SIGCONT)

    def _look(self) -> None:
        with self.service.client() as client:
            assert client.get("/livez").status_code == 200
            assert client.get("/readyz").status_code == 200
            assert client.get("/models").json()["refused"] == []


def test_everything_at_once(folder):
    """At the end every request is accounted for, memory and files are where they began, and a good one succeeds."""
    with (
        Path("/dev/full").open("wb") as full,
        watched("tests.service.faults", full, checkpoints=folder, admin_key=KEY, max_requests=12) as service,
        service.client() as client,
    ):
        book = Book()
        run = Run(service, book)
        run.go(max(60.0, 60 * MINUTES / 4), folder, seed=1)  # everything that is kept has been kept once
        before = calm(service, client)
        begun = book.requests
        run.go(60 * MINUTES, folder, seed=2)
        after = calm(service, client)
        book_of_calm = 2 * 31
        told = settle(client)
        for _ in range(book_of_calm):
            book.note("calm", "/upscale", 200, {200})
        assert not book.surprises, "\n".join(book.surprises[:10])
        accounted = account(book, told)
        assert client.post("/stylize?style=mosaic", content=encoded(picture())).status_code == 200
        lost = told["impasto_log_lines_lost"]
        restarts = sum(value for name, value in told.items() if name.startswith("impasto_decoder_restarts_total"))
        figures = {
            "minutes": MINUTES,
            **accounted,
            "requests_after_the_warm_up": book.requests - begun,
            "clients": {name: dict(counts) for name, counts in sorted(book.by_client.items())},
            **run.counts,
            "decoders_replaced": int(restarts),
            "log_lines_lost": int(lost),
            "memory_mib": [round(before[0], 1), round(after[0], 1)],
            "decoders_mib": [round(service.memory_mib(pid), 1) for pid in service.decoders],
            "open_files": [before[1], after[1]],
        }
        record("mixed", figures)
        assert lost > 0
        assert restarts > 0
        assert after[0] < MOST_GROWTH * before[0]
        assert after[1] <= MOST_GROWTH * before[1]


def test_a_killed_worker_thread_ends_the_process_and_the_next_one_serves(folder):
    """Every admitted request gets its whole response before the process ends."""
    book = Book()
    with watched("tests.service.faults", checkpoints=folder, log_level="error") as service:
        clients = [Client(service.address, book, each) for each in range(6)]
        stop = threading.Event()

        def press(client: Client) -> None:
            while not stop.is_set():
                body = encoded(picture(60, 80))
                try:
                    response = client.http.post("/upscale?factor=4", content=body)
                    book.note("good", "/upscale", response.status_code, {200, 503})
                except httpx.ConnectError:
                    return
                except httpx.TransportError as error:  # it was closed before it had the request, or half way?
                    outcome = "never let in" if isinstance(error, httpx.WriteError | httpx.ReadError) else "cut off"
                    book.note("good", "/upscale", outcome, {"never let in"}, repr(error))
                    return

        with ThreadPoolExecutor(6) as threads:
            pressing = [threads.submit(press, client) for client in clients]
            time.sleep(3)
            response = httpx.post(
                f"{service.address}/upscale?factor=2",
                content=encoded(faulty_picture(LOST)),
                timeout=60,
                trust_env=False,
            )
            assert response.status_code == 503
            code = service.process.wait(60)
            stop.set()
            for each in pressing:
                each.result()
        for client in clients:
            client.close()
    assert code == 70
    assert not book.surprises, "\n".join(book.surprises[:10])
    with watched(checkpoints=folder, log_level="error") as service, service.client() as client:
        good = client.post("/upscale?factor=2", content=encoded(picture())).status_code
    assert good == 200
    record("killed_worker", {"exit_code": code, "outcomes": dict(book.by_client["good"]), "next_process": good})


def test_ten_thousand_bad_requests_and_then_a_good_one(folder):
    """Wrong ones and early leavers: all of them are accounted for, and nothing of them is left."""
    with watched(checkpoints=folder, log_level="error") as service, service.client() as client:
        book, before = Book(), calm(service, client)

        def some(seed: int) -> None:
            bad = Client(service.address, book, seed)
            for each in range(BAD_REQUESTS // 8):
                bad.hanging_up() if each % 3 == 0 else bad.wrong()
            bad.close()

        start = time.monotonic()
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(some, range(8)))
        seconds = time.monotonic() - start
        after = calm(service, client)
        told = settle(client)
        for _ in range(62):
            book.note("calm", "/upscale", 200, {200})
        assert not book.surprises, "\n".join(book.surprises[:10])
        accounted = account(book, told)
        good = client.post("/stylize?style=mosaic", content=encoded(picture())).status_code
        figures = {**accounted, "seconds": round(seconds, 1), "good": good, "memory_mib": [before[0], after[0]]}
        record("bad_requests", figures | {"open_files": [before[1], after[1]]})
        assert good == 200
        assert after[0] < MOST_GROWTH * before[0]
        assert after[1] <= MOST_GROWTH * before[1]


def test_five_thousand_mutated_files_leave_no_memory_behind(folder):
    """Through decoder processes. The seed of each is in the message of a failure."""
    with watched(checkpoints=folder, log_level="error", max_pixels=1_000_000) as service, service.client() as client:
        originals, statuses, most = to_mutate(), {}, 0.0
        measured = []
        for seed in range(MUTATIONS):
            dice = random.Random(1_000_000 + seed)  # others than those of tests/service/images/test_hostile_files.py
            data = mutated(originals[seed % len(originals)], dice)
            response = client.post(dice.choice(("/upscale?factor=4", "/stylize?style=swapped")), content=data)
            assert response.status_code in {200, 413, 415, 422}, (seed, response.text)
            statuses[response.status_code] = statuses.get(response.status_code, 0) + 1
            if seed % 50 == 0:
                most = max([most, *(service.memory_mib(pid) for pid in service.decoders)])
            if seed in {MUTATIONS // 5, MUTATIONS - 1}:
                measured.append(calm(service, client)[0])
        told = metrics(client.get("/metrics").text)
        restarts = sum(value for name, value in told.items() if name.startswith("impasto_decoder_restarts_total"))
        figures = {"files": MUTATIONS, "statuses": statuses, "decoders_replaced": int(restarts)}
        record("mutations", figures | {"memory_mib": measured, "most_of_a_decoder_mib": round(most, 1)})
        assert most < 400
        assert measured[1] < MOST_GROWTH * measured[0]
