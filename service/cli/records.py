"""Records of earlier runs: OUT/.impasto.jsonl has a line for each output, with its input, parameters and networks."""

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

NAME = ".impasto.jsonl"
DONE = "done already"

_IDENTITY = re.compile(r"(?:stylize|upscale)/[^@,; ]+@sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Record:
    """One output. output: its path below the folder. bytes, modified_ns: of the input when it was read.

    parameters: those of the request, with `style` or `factor`. models: the networks, as "stylize/mosaic@sha256:...".
    """

    output: str
    source: str
    bytes: int
    modified_ns: int
    parameters: dict[str, Any]
    models: list[str] = field(default_factory=list)

    def is_of(self, source: Path) -> bool:
        """Return whether it was made from this file, or from a moved file of this name."""
        recorded = Path(self.source)
        return recorded == source.absolute() or (not recorded.exists() and recorded.name == source.name)


class Records:
    """The records of an output folder. Without a folder (one file, standard output) there are none."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._found = {record.output: record for record in _read(folder)}

    def output_of(self, source: Path | None) -> Path | None:
        """Return the existing output that an earlier run made from a file, or None."""
        if source is None or self._folder is None:
            return None
        outputs = (self._folder / record.output for record in self._found.values() if record.is_of(source))
        return next((path for path in outputs if path.exists()), None)

    def outputs_of_others(self, sources: Sequence[Path]) -> Iterator[Path]:
        """Yield existing outputs of other existing files than these."""
        if self._folder is None:
            return
        mine = {str(source.absolute()) for source in sources}
        for record in self._found.values():
            if record.source not in mine and Path(record.source).exists() and (self._folder / record.output).exists():
                yield self._folder / record.output

    def why_skipped(
        self, output: Path, source: Path | None, parameters: Mapping[str, Any], served: frozenset[str] | None
    ) -> str:
        """Return why an existing output is not made again: DONE, or the difference from this request.

        served: the networks of this run; None if unknown.
        """
        record = None if self._folder is None else self._found.get(_below(self._folder, output))
        if record is None:
            return f"{output} is there already, and no record says how it was made"
        if source is not None and not record.is_of(source):
            return f"{output} was made from {record.source}"
        if record.parameters != dict(parameters):
            return f"made with other parameters ({_difference(record.parameters, parameters)})"
        if source is not None and _stamp(source) != (record.bytes, record.modified_ns):
            return "the picture has changed since"
        if served is not None and not served.issuperset(record.models):
            return "made by another version of the network"
        return DONE

    def add(self, output: Path, source: Path | None, parameters: Mapping[str, Any], model: str) -> None:
        """Record a new output. If the record cannot be written, it is left out."""
        if self._folder is None:
            return
        size, modified = _stamp(source)
        name = "" if source is None else str(source.absolute())
        record = Record(_below(self._folder, output), name, size, modified, dict(parameters), identities_in(model))
        self._found[record.output] = record
        with contextlib.suppress(OSError), (self._folder / NAME).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")


def identities_in(model: str) -> list[str]:
    """Return the networks that a description of an output names: "stylize/mosaic@sha256:..."."""
    return _IDENTITY.findall(model)


def _read(folder: Path | None) -> Iterator[Record]:
    """Read the records. The last line of an output counts; damaged lines and those of later versions are skipped."""
    if folder is None:
        return
    try:
        lines = (folder / NAME).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        with contextlib.suppress(ValueError, TypeError):
            yield Record(**json.loads(line))


def _below(folder: Path, path: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _stamp(source: Path | None) -> tuple[int, int]:
    if source is None:
        return 0, 0
    try:
        status = source.stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _difference(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return the options of an output that differ now: "--style wave, without --strength"."""
    changed = [name for name in (*then, *now) if then.get(name) != now.get(name)]
    options = {name: "--" + name.replace("_", "-") for name in changed}
    return ", ".join(f"{o} {then[name]}" if name in then else f"without {o}" for name, o in options.items())
