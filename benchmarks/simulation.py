"""A discrete-event simulation of Impasto's replicas behind a load balancer, with and without an autoscaler.

A replica computes one job at a time, in the service's own order: a job's rank is its arrival plus four times its cost,
the lowest goes first, and one of at most a quarter of the pixels preempts (service/engine/preemption.py). A job costs
start + pixels x per pixel on the device, and codec x (pixels in + out), which on a CPU the same cores pay. Simpler than
the real thing: no tiles, no batches, no network; a request is sent to any ready replica by chance, as kube-proxy does.
"""

import heapq
import itertools
import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

AGEING_FACTOR, SIZE_RATIO = 4.0, 4  # service/engine/task.py, service/engine/preemption.py
SYNC_SECONDS = 15.0
"""Interval of Prometheus scrapes and of the autoscaler."""


@dataclass(frozen=True)
class Kind:
    """A kind of request: its share, its input pixels, and the ratio of output to input pixels."""

    model: str
    share: float
    pixels: int
    growth: int = 1


@dataclass(frozen=True)
class Costs:
    """Seconds: {model: (per pass, per pixel)}, and for decoding or encoding one pixel."""

    forward: dict[str, tuple[float, float]]
    codec: float

    def seconds(self, kind: Kind) -> float:
        """Return the seconds that a request of a kind takes a replica."""
        start, each = self.forward[kind.model]
        return start + each * kind.pixels + self.codec * kind.pixels * (1 + kind.growth)


@dataclass(frozen=True)
class Limits:
    """The admission limits of a replica (IMPASTO_MAX_REQUESTS, IMPASTO_MAX_PIXELS_IN_FLIGHT), and its start time."""

    requests: int = 32
    pixels: int = 150_000_000
    start_seconds: float = 20.0


@dataclass(frozen=True)
class Autoscaler:
    """A HorizontalPodAutoscaler as in k8s/components/hpa, on queue_pixels and, unless cpu is 0, CPU utilisation."""

    least: int = 2
    most: int = 20
    queue_pixels: float = 4e6
    cpu: float = 0.75
    up_factor: float = 2.0
    up_pods: int = 4
    down_window_seconds: float = 300.0
    down_seconds: float = 60.0
    tolerance: float = 0.1

    def wanted(self, current: int, queue_pixels: float, busy: float) -> int:
        """Return the replicas: ceil(current x measured / target), as the controller does, the larger of both metrics.

        queue_pixels, busy: means over the current replicas.
        """
        ratios = [queue_pixels / self.queue_pixels] + ([busy / self.cpu] if self.cpu else [])
        wanted = [current if abs(ratio - 1) <= self.tolerance else math.ceil(current * ratio) for ratio in ratios]
        return min(self.most, max(self.least, *wanted))


@dataclass(eq=False)
class Job:
    """A request in the simulation."""

    kind: Kind
    arrived: float
    cost: float
    left: float

    @property
    def rank(self) -> float:
        """The order in the queue; the lowest goes first."""
        return self.arrived + AGEING_FACTOR * self.cost


@dataclass(eq=False)
class Replica:
    """A replica. `running` is a stack: the last job is computed, and it preempted the others."""

    ready_at: float
    waiting: list[Job] = field(default_factory=list)
    running: list[Job] = field(default_factory=list)
    resumed: float = 0.0
    turn: int = 0
    requests: int = 0
    pixels: int = 0
    busy: float = 0.0
    leaving: bool = False


@dataclass
class Result:
    """The outcome. `latencies`: (arrival, seconds). `replicas`: (time, number of ready replicas)."""

    latencies: list[tuple[float, float]] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)
    replicas: list[tuple[float, int]] = field(default_factory=list)
    replica_seconds: float = 0.0

    def quantile(self, q: float, begin: float = 0.0, end: float = math.inf) -> float:
        """Return a latency quantile of the arrivals within [begin, end); NaN if there are none."""
        chosen = [seconds for arrived, seconds in self.latencies if begin <= arrived < end]
        return float(np.quantile(chosen, q)) if chosen else math.nan


def arrivals(phases: Iterable[tuple[float, float]], mix: list[Kind], seed: int) -> list[tuple[float, Kind]]:
    """Return Poisson arrivals for each phase (seconds, total megapixels per second)."""
    random = np.random.default_rng(seed)
    mean = sum(kind.share * kind.pixels for kind in mix) / sum(kind.share for kind in mix)
    shares = np.array([kind.share for kind in mix])
    now, begin, found = 0.0, 0.0, []
    for seconds, megapixels in phases:
        now = begin
        while megapixels and (now := now + random.exponential(mean / (megapixels * 1e6))) < begin + seconds:
            found.append((now, mix[random.choice(len(mix), p=shares / shares.sum())]))
        begin += seconds
    return found


class Simulation:
    """One run. replicas: at the start. scaler: None keeps their number. failures: times at which a replica is lost.

    replacement_seconds: time until a lost replica is replaced. shared: requests are jobs in one queue, from which a
    free replica takes the first (IMPASTO_JOB_STORE); nothing is refused, and no job preempts another.
    """

    def __init__(
        self,
        costs: Costs,
        limits: Limits,
        replicas: int,
        scaler: Autoscaler | None = None,
        failures: Iterable[float] = (),
        replacement_seconds: float = 90.0,
        seed: int = 0,
        shared: bool = False,
    ) -> None:
        self.costs, self.limits, self.scaler, self.replacement = costs, limits, scaler, replacement_seconds
        self.random = np.random.default_rng([seed, 1])
        self.replicas = [Replica(ready_at=0.0) for _ in range(replicas)]
        self.result = Result()
        self.now, self.shared = 0.0, shared
        self._store: list[Job] = []
        self._events: list[tuple[float, int, str, Any]] = []
        self._count = itertools.count()
        self._queue: deque[tuple[float, float]] = deque(maxlen=2)
        self._wanted: deque[tuple[float, int]] = deque()
        self._last_down = -math.inf
        for moment in failures:
            self._at(moment, "fail", None)

    def run(self, load: list[tuple[float, Kind]]) -> Result:
        """Run until the last request is answered."""
        for moment, kind in load:
            self._at(moment, "arrive", kind)
        self._at(SYNC_SECONDS, "sync", load[-1][0])
        while self._events:
            moment, _, event, about = heapq.heappop(self._events)
            self.result.replica_seconds += (moment - self.now) * len(self.replicas)
            self.now = moment
            getattr(self, f"_{event}")(about)
        return self.result

    def _at(self, moment: float, event: str, about: object) -> None:
        heapq.heappush(self._events, (moment, next(self._count), event, about))

    def _open(self) -> list[Replica]:
        return [each for each in self.replicas if each.ready_at <= self.now and not each.leaving]

    def _arrive(self, kind: Kind) -> None:
        candidates = self._open()
        if self.shared:
            cost = self.costs.seconds(kind)
            self._store.append(Job(kind, self.now, cost, cost))
            for replica in candidates:
                self._next(replica)
            return
        pixels = kind.pixels * (1 + kind.growth)
        if not candidates:
            self.result.refused.append(self.now)
            return
        replica = candidates[self.random.integers(len(candidates))]
        full = replica.pixels and replica.pixels + pixels > self.limits.pixels
        if replica.requests >= self.limits.requests or full:
            self.result.refused.append(self.now)
            return
        replica.requests, replica.pixels = replica.requests + 1, replica.pixels + pixels
        cost = self.costs.seconds(kind)
        replica.waiting.append(Job(kind, self.now, cost, cost))
        self._next(replica)

    def _next(self, replica: Replica) -> None:
        """Start the first waiting job if the device is free for it."""
        if self._store and not (replica.running or replica.leaving):
            job = min(self._store, key=lambda each: each.rank)
            self._store.remove(job)
            replica.waiting.append(job)
            replica.requests += 1
            replica.pixels += job.kind.pixels * (1 + job.kind.growth)
        if not replica.waiting:
            return
        job = min(replica.waiting, key=lambda each: each.rank)
        if replica.running:
            current = replica.running[-1]
            if job.rank >= current.rank or job.kind.pixels * SIZE_RATIO > current.kind.pixels:
                return
            self._account(replica)
        replica.waiting.remove(job)
        replica.running.append(job)
        self._resume(replica)

    def _account(self, replica: Replica) -> None:
        if replica.running:
            passed = self.now - replica.resumed
            replica.running[-1].left -= passed
            replica.busy += passed
            replica.resumed = self.now

    def _resume(self, replica: Replica) -> None:
        replica.resumed, replica.turn = self.now, replica.turn + 1
        self._at(self.now + replica.running[-1].left, "done", (replica, replica.turn))

    def _done(self, about: tuple[Replica, int]) -> None:
        replica, turn = about
        if turn != replica.turn:  # preempted or lost meanwhile
            return
        self._account(replica)
        job = replica.running.pop()
        replica.requests -= 1
        replica.pixels -= job.kind.pixels * (1 + job.kind.growth)
        self.result.latencies.append((job.arrived, self.now - job.arrived))
        begun = len(replica.running)
        self._next(replica)
        if replica.running and len(replica.running) == begun:
            self._resume(replica)
        if replica.leaving and not replica.running:
            self.replicas.remove(replica)

    def _fail(self, _: object) -> None:
        replica = self._open()[0]
        self.result.lost += [job.arrived for job in (*replica.running, *replica.waiting)]
        replica.turn += 1
        self.replicas.remove(replica)
        self.replicas.append(Replica(ready_at=self.now + self.replacement))

    def _sync(self, last_arrival: float) -> None:
        """Scrape the metrics and let the autoscaler decide."""
        for replica in self.replicas:
            self._account(replica)
        here = [replica for replica in self.replicas if not replica.leaving]
        for replica in self._open() if self._store else []:  # one that has just become ready
            self._next(replica)
        waiting = sum(job.kind.pixels for replica in here for job in replica.waiting)
        waiting += sum(job.kind.pixels for job in self._store)
        self._queue.append((waiting, sum(replica.busy for replica in here) / SYNC_SECONDS))
        for replica in self.replicas:
            replica.busy = 0.0
        if self.scaler is not None:
            self._scale(self.scaler, here)
        self.result.replicas.append((self.now, len(self._open())))
        if self.now < last_arrival or self._store or any(replica.requests for replica in self.replicas):
            self._at(self.now + SYNC_SECONDS, "sync", last_arrival)

    def _scale(self, scaler: Autoscaler, here: list[Replica]) -> None:
        current = len(here)
        queue, busy = (sum(values) / len(values) / current for values in zip(*self._queue, strict=True))
        wanted = scaler.wanted(current, queue, busy)
        self._wanted.append((self.now, wanted))
        while self._wanted[0][0] < self.now - scaler.down_window_seconds:
            self._wanted.popleft()
        if wanted > current:
            step = max(math.floor(current * scaler.up_factor), current + scaler.up_pods)
            for _ in range(min(wanted, step) - current):
                self.replicas.append(Replica(ready_at=self.now + self.limits.start_seconds))
        elif max(each for _, each in self._wanted) < current and self.now - self._last_down >= scaler.down_seconds:
            self._last_down = self.now
            here[-1].leaving = True
            if not here[-1].requests:
                self.replicas.remove(here[-1])
