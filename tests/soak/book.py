"""What clients did and were told, to be held against what the service counted."""

import json
import re
import threading
from collections import Counter

import httpx

from tests.end_to_end.test_serve import ROOT

ROUTES = ("/stylize", "/upscale")


class Book:
    """Requests by route and outcome: the status, or "disconnected" if the client left before the response."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.by_client: dict[str, Counter[str]] = {}
        self.surprises: list[str] = []

    def note(self, client: str, route: str, outcome: object, allowed: set[object], detail: str = "") -> None:
        with self._lock:
            self.outcomes[route, str(outcome)] += 1
            self.by_client.setdefault(client, Counter())[str(outcome)] += 1
            if outcome not in allowed:
                self.surprises.append(f"{client}: {route}: {outcome} {detail[:300]}")

    @property
    def requests(self) -> int:
        return sum(self.outcomes.values())


def metrics(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines}


def answered(told: dict[str, float]) -> Counter[tuple[str, str]]:
    """What the service says that it answered to POSTs of pictures: by route and status."""
    counts: Counter[tuple[str, str]] = Counter()
    for name, value in told.items():
        found = re.fullmatch(r'impasto_http_requests_total\{code="(\d+)",method="POST",route="(.*)"\}', name)
        if found and found[2] in ROUTES:
            counts[found[2], found[1]] += int(value)
    return counts


def settle(client: httpx.Client) -> dict[str, float]:
    """Wait until nothing is in flight; the metrics then."""
    idle = ("impasto_requests_in_flight", "impasto_queue_predicted_seconds", 'impasto_async_jobs{state="unfinished"}')
    while True:
        told = metrics(client.get("/metrics").text)
        if not any(told.get(name) for name in idle):
            return told
        threading.Event().wait(0.1)


def account(book: Book, told: dict[str, float]) -> dict[str, int]:
    """Hold both against each other. Every response of a client was counted; the other requests were disconnected."""
    counted, left = answered(told), Counter()
    for route in ROUTES:
        codes = {code for each, code in counted | book.outcomes if each == route and code.isdigit()}
        for code in codes:
            more = counted[route, code] - book.outcomes[route, code]
            assert more >= 0, f"{route}: clients have {-more} more answers with {code} than the service gave"
            left[route] += more
        hung_up = book.outcomes[route, "disconnected"]
        assert left[route] == hung_up, (
            f"{route}: {left[route]} requests are unaccounted for, {hung_up} clients disconnected"
        )
    for name, value in told.items():
        if name.startswith(("impasto_queue_jobs{", "impasto_queue_pixels{")) or name == "impasto_requests_in_flight":
            assert value == 0, name
    return {"requests": book.requests, "hung_up": sum(left.values()), "counted": sum(counted.values())}


def record(name: str, figures: dict[str, object]) -> None:
    """Into out/soak.json, beside the other tests'."""
    path = ROOT / "out" / "soak.json"
    path.parent.mkdir(exist_ok=True)
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(known | {name: figures}, indent=1))
    print(name, figures)
