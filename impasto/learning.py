"""Styles that a service learns from paintings: the requests, and what the service reports."""

from dataclasses import dataclass
from typing import Any

import httpx

from impasto.errors import LearningError
from impasto.requests import Request
from impasto.results import json_of

POLL_SECONDS = 1.0
"""How often a client asks whether a style is ready."""


@dataclass(frozen=True)
class LearnedStyle:
    """A style that a service learns, or has learned.

    state: "queued", "learning", "ready" or "failed". progress: share of the training time, in [0, 1]. seconds_left:
    of the training. position: in the queue; 1 is next. reason: why it failed. raw: the JSON document.
    """

    name: str
    state: str
    progress: float
    seconds_left: float | None
    position: int | None
    reason: str | None
    raw: dict[str, Any]

    @classmethod
    def of(cls, response: httpx.Response) -> "LearnedStyle":
        """Read a successful response."""
        raw = json_of(response)
        left, position, reason = raw.get("seconds_left"), raw.get("position"), raw.get("reason")
        return cls(raw["name"], raw["state"], raw["progress"], left, position, reason, raw)

    @property
    def over(self) -> bool:
        """Whether it is ready. Raises LearningError if it has failed."""
        if self.state == "failed":
            raise LearningError(f"the style {self.name} was not learned: {self.reason}")
        return self.state == "ready"


def learn_request(
    painting: bytes, name: str, minutes: float | None, license_: str, source: str, private: bool
) -> Request:
    """Return the request to learn a painting."""
    given = {
        "name": name,
        "minutes": "" if minutes is None else f"{minutes:g}",
        "license": license_,
        "source": source,
        "private": "true" if private else "",
    }
    return Request("POST", "/styles", {key: value for key, value in given.items() if value}, painting)


def style_request(name: str, part: str = "") -> Request:
    """Return the request for a style that is learned. part: "/preview", or nothing for its state."""
    return Request("GET", f"/styles/{name}{part}")


def forget_request(name: str) -> Request:
    """Return the request to stop learning a style, or to remove it."""
    return Request("DELETE", f"/styles/{name}")
