"""The manifest of a bulk run: DEST/.impasto-bulk/*.jsonl, with a line for each image.

It consists of parts, because an object cannot be appended to. The first line of a part has the settings. A part is
written whole, after the outputs of its records, so a run that is killed at any moment repeats work and loses none.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.cli.bulk.places import Found, Place
from service.cli.output_paths import PlanError

FOLDER = ".impasto-bulk"
_SETTINGS = "impasto_bulk"
_LEAST_SECONDS, _MOST_SECONDS = 1.0, 60.0
_SHARE = 0.02
"""A part is written after this share of the time so far, within the limits: few parts, and little work to repeat."""

_AT_ONCE = 32
_DIGEST_BYTES = 16


@dataclass(frozen=True)
class Record:
    """What became of an image. output: the name below DEST. bytes, pixels: of the output.

    code, detail: why there is no output. fatal: whether every other image would fail too.
    """

    name: str
    stamp: str
    output: str = ""
    bytes: int = 0
    pixels: int = 0
    seconds: float = 0.0
    code: str = ""
    detail: str = ""
    fatal: bool = False


class Done:
    """The images that need no work, in 16 bytes each, because there are tens of millions."""

    def __init__(self, digests: NDArray[np.bytes_]) -> None:
        """digests: bytes (N), sorted."""
        self.digests = digests

    def __len__(self) -> int:
        return len(self.digests)

    def __contains__(self, found: Found) -> bool:
        digest = _digest(found.name, found.stamp)
        index = int(np.searchsorted(self.digests, np.bytes_(digest)))
        # NumPy leaves out zeros at the end
        return index < len(self.digests) and bytes(self.digests[index]) == digest.rstrip(b"\0")


class Manifest:
    """The manifest in DEST. settings: everything that determines the outputs."""

    def __init__(self, dest: Place, settings: Mapping[str, Any]) -> None:
        self._place, self._dest, self._settings = dest.below(FOLDER), dest, json.loads(json.dumps(settings))
        self._run = f"{time.time_ns():020}"
        self._waiting: list[str] = []
        self._parts = 0
        self._began = self._written = time.monotonic()

    async def read(self) -> Done:
        """Return the images that need no work: those with outputs, and those that failed in this run.

        Raises PlanError if the manifest has other settings, and what the place raises.
        """
        digests = bytearray()
        try:
            names = [found.name async for found in self._place.list() if found.name.endswith(".jsonl")]
        except FileNotFoundError:
            names = []
        for start in range(0, len(names), _AT_ONCE):
            batch = names[start : start + _AT_ONCE]
            for name, content in zip(batch, await asyncio.gather(*map(self._place.read, batch)), strict=True):
                digests += self._digests(name, content.splitlines())
        return Done(np.sort(np.frombuffer(digests, f"S{_DIGEST_BYTES}")))

    def add(self, records: Iterable[Record]) -> None:
        """Keep records for the next part."""
        self._waiting += [json.dumps(_short(record)) for record in records]

    @property
    def due(self) -> bool:
        """Whether a part should be written."""
        now = time.monotonic()
        pause = min(max(_SHARE * (now - self._began), _LEAST_SECONDS), _MOST_SECONDS)
        return bool(self._waiting) and now - self._written >= pause

    async def write(self) -> None:
        """Write a part. The first one has only the settings. Raises what the place raises."""
        if self._waiting or not self._parts:
            lines = [json.dumps({_SETTINGS: 1, **self._settings}), *self._waiting]
            name = f"{self._run}-{self._parts:06}.jsonl"
            await self._place.write(name, ("\n".join(lines) + "\n").encode(), "application/jsonl")
            self._parts, self._written, self._waiting = self._parts + 1, time.monotonic(), []

    def _digests(self, name: str, lines: list[bytes]) -> bytes:
        self._refuse_other_settings(name, lines[0] if lines else b"")
        mine, found = name.startswith(self._run), bytearray()
        for line in lines[1:]:
            record = json.loads(line)
            if mine or "code" not in record:
                found += _digest(record["name"], record["stamp"])
        return bytes(found)

    def _refuse_other_settings(self, name: str, line: bytes) -> None:
        at = f"{self._place}/{name}"
        try:
            then = json.loads(line)
            version = then.pop(_SETTINGS)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise PlanError(f"{at} is no part of a manifest: its first line has no settings; remove it") from error
        if version != 1:
            raise PlanError(f"{at} is a manifest of version {version}; expected 1")
        changed = [key for key in (*then, *self._settings) if then.get(key) != self._settings.get(key)]
        if changed:
            told = "; ".join(
                f"{key} was {json.dumps(then.get(key))}, is now {json.dumps(self._settings.get(key))}"
                for key in dict.fromkeys(changed)
            )
            raise PlanError(f"{self._dest} has outputs of other settings: {told}; expected the same, or another DEST")


def _short(record: Record) -> dict[str, Any]:
    """Return the fields that say something."""
    return {key: value for key, value in asdict(record).items() if value or key in {"name", "stamp"}}


def _digest(name: str, stamp: str) -> bytes:
    return hashlib.blake2b(f"{name}\0{stamp}".encode(errors="surrogateescape"), digest_size=_DIGEST_BYTES).digest()
