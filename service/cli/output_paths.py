"""Output paths: names are kept, suffixes follow the format, and no two inputs share an output."""

import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from service.cli.files import STANDARD, Source, is_picture_name
from service.cli.records import Records
from service.images.formats import LOSSLESS, SUFFIXES, Format, sniff

_ENDINGS: Mapping[Format, frozenset[str]] = {
    "jpeg": frozenset({".jpg", ".jpeg", ".jpe", ".jfif"}),
    "png": frozenset({".png", ".apng"}),
    "webp": frozenset({".webp"}),
    "avif": frozenset({".avif", ".avifs"}),
    "gif": frozenset({".gif"}),
    "tiff": frozenset({".tif", ".tiff"}),
}
_ALL_ENDINGS = frozenset().union(*_ENDINGS.values())
_OUTPUT_FORMATS: Mapping[str, tuple[Format, ...]] = {
    "jpeg": ("jpeg",),
    "png": ("png",),
    "webp": ("webp",),
    "avif": ("avif",),
    "gif": ("png", "gif"),
    "tiff": ("png",),
    "bmp": ("png",),
    "heic": ("jpeg", "png"),
}
"""The possible output formats of an input format, if no format is requested."""

_FIRST_BYTES = 64


class PlanError(Exception):
    """Options that contradict each other or the files."""


@dataclass(frozen=True)
class Target:
    """The place of an output: `file`, or a name in `folder`; standard output if both are None.

    In a folder, it is `name` with the suffix of its format. whole_name: a changed suffix is appended to the old one.
    prefix, number: distinguish it from other inputs of the same name; number 1 is not written.
    """

    folder: Path | None = None
    name: str = ""
    whole_name: bool = False
    prefix: str = ""
    number: int = 1
    file: Path | None = None

    def path(self, kind: Format) -> Path | None:
        """Return the file for an output of that format; None is standard output."""
        if self.file is not None or self.folder is None:
            return self.file
        stem, ending = os.path.splitext(self.name)  # noqa: PTH122  # Path has no such pair
        if ending.lower() not in _ENDINGS[kind]:
            stem, ending = (self.name if self.whole_name else stem), f".{SUFFIXES[kind]}"
        number = "" if self.number == 1 else f"-{self.number}"
        return self.folder / f"{self.prefix}{stem}{number}{ending}"


@dataclass(frozen=True)
class WorkItem:
    """One image to process. formats: the possible formats of its output."""

    source: Source
    target: Target
    formats: tuple[Format, ...] = ()

    def paths(self) -> list[Path]:
        """Return the possible output files."""
        return [path for path in map(self.target.path, self.formats) if path is not None]

    def existing(self) -> Path | None:
        """Return the existing output, or None."""
        return next((path for path in self.paths() if path.exists()), None)

    def is_source(self, path: Path) -> bool:
        """Return whether an output at `path` would replace the input."""
        source = self.source.path
        return source is not None and path.exists() and source.exists() and path.samefile(source)


def format_of(out: str, asked: Format | None) -> Format | None:
    """Return the format that the file name or `--format` requests.

    Raises PlanError for an unsupported suffix, and if name and `--format` differ.
    """
    suffix = Path(out).suffix.lower()
    for kind, endings in _ENDINGS.items():
        if suffix in endings:
            if asked not in {None, kind}:
                raise PlanError(f"-o {out} is the name of a {kind} file, and --format is {asked}: change one of them")
            return kind
    if suffix:
        known = ", ".join(sorted(_ALL_ENDINGS))
        raise PlanError(f"-o {out}: {suffix} is no format that can be written; there are {known}")
    return asked


def own_name(name: str, kind: Format) -> str:
    """Return an output name that depends on this input alone, and that no other input has.

    `a.jpg` stays if the output is a JPEG. Otherwise the suffix is appended: `a.jpg.png`. It is also appended where that
    would be the name of another output: `a.jpg.png` becomes `a.jpg.png.png`.
    """
    stem, ending = os.path.splitext(name)  # noqa: PTH122  # Path has no such pair
    if ending.lower() in _ENDINGS[kind] and not is_picture_name(stem):
        return name
    return f"{name}.{SUFFIXES[kind]}"


def is_one_file(named: Sequence[str], out: str) -> bool:
    """Return whether `out` is a file for one image, not a folder."""
    folder = Path(out).is_dir() or out.endswith(("/", "\\")) or not Path(out).suffix
    return not folder and (Path(out).suffix.lower() in _ALL_ENDINGS or _is_one(named))


def plan(
    sources: Sequence[Source], out: str | None, one_file: bool, asked: Format | None, lossless: bool, records: Records
) -> list[WorkItem]:
    """Make a work item for each source, each with its own output.

    asked: the requested format. lossless: whether only a format without loss will do. records: of earlier runs; an
    input keeps its earlier output. Raises PlanError if outputs cannot be assigned.
    """
    formats = [_formats(source, asked, lossless) for source in sources]
    if out is None or out == STANDARD:
        if len(sources) != 1:
            raise PlanError(f"standard output takes one picture, and there are {len(sources)}: name a folder with -o")
        return [WorkItem(sources[0], Target(), formats[0])]
    path = Path(out)
    if one_file and len(sources) == 1:
        return [WorkItem(sources[0], Target(file=path), formats[0] or ("png",))]
    if path.exists() and not path.is_dir():
        raise PlanError(f"-o {out} is a file; expected a folder for {len(sources)} pictures")
    items = [
        WorkItem(source, Target(path / source.below, source.path.name if source.path else "stdin"), kinds)
        for source, kinds in zip(sources, formats, strict=True)
    ]
    return _named_apart(items, records)


def _named_apart(items: Sequence[WorkItem], records: Records) -> list[WorkItem]:
    """Change targets until no two items share a path, and none has the output of another input from an earlier run."""
    mine = [item.source.path for item in items if item.source.path is not None]
    taken = {_key(path) for path in records.outputs_of_others(mine)}
    settled: dict[int, WorkItem] = {}

    def settle(number: int, item: WorkItem) -> None:
        settled[number] = item
        taken.update(map(_key, item.paths()))

    for number, item in enumerate(items):
        earlier = records.output_of(item.source.path)
        if earlier is not None and _key(earlier) not in taken:
            kept = replace(item, target=Target(earlier.parent, earlier.name))
            if earlier in kept.paths():
                settle(number, kept)
    for change in _CHANGES:
        tried = {number: change(item) for number, item in enumerate(items) if number not in settled}
        wanted = Counter(_key(path) for item in tried.values() if item for path in item.paths())
        for number, changed in tried.items():
            if changed and all(wanted[_key(path)] == 1 and _key(path) not in taken for path in changed.paths()):
                settle(number, changed)
    for number, item in enumerate(items):
        if number not in settled:
            numbered = (replace(item, target=replace(item.target, number=n)) for n in count(2))
            settle(number, next(each for each in numbered if taken.isdisjoint(map(_key, each.paths()))))
    return [settled[number] for number in range(len(items))]


def _with_its_own_name(item: WorkItem) -> WorkItem | None:
    """Keep the name if the suffix does not change. Such items have priority."""
    return item if all(path.name == item.target.name for path in item.paths()) else None


def _with_its_folder(item: WorkItem) -> WorkItem:
    folder = item.source.path.absolute().parent.name if item.source.path else ""
    return replace(item, target=replace(item.target, prefix=f"{folder}-" if folder else "", whole_name=True))


_CHANGES: Sequence[Callable[[WorkItem], WorkItem | None]] = (
    _with_its_own_name,
    lambda item: item,
    lambda item: replace(item, target=replace(item.target, whole_name=True)),
    _with_its_folder,
)
"""The changes that are tried in turn to make an output name unique."""


def _formats(source: Source, asked: Format | None, lossless: bool) -> tuple[Format, ...]:
    if asked is not None:
        return (asked,)
    if source.path is None:
        return ()
    try:
        with source.path.open("rb") as file:
            kinds = _OUTPUT_FORMATS.get(sniff(file.read(_FIRST_BYTES)) or "", ())
    except OSError:  # processing will report why it cannot be read
        return ()
    if not lossless or not kinds:
        return kinds
    return tuple(kind for kind in kinds if kind in LOSSLESS) or ("png",)


def _is_one(named: Sequence[str]) -> bool:
    return len(named) == 1 and not Path(named[0]).is_dir()


def _key(path: Path) -> str:
    """Fold case, because names that differ only in case are one file on macOS and Windows."""
    return str(path) if sys.platform == "linux" else str(path).casefold()
