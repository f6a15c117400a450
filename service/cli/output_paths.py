"""Where each answer goes: names are kept, and endings tell the truth."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.cli.files import STANDARD, Source
from service.images.formats import SUFFIXES, Format, sniff

_ENDINGS: Mapping[Format, frozenset[str]] = {
    "jpeg": frozenset({".jpg", ".jpeg", ".jpe", ".jfif"}),
    "png": frozenset({".png", ".apng"}),
    "webp": frozenset({".webp"}),
    "avif": frozenset({".avif", ".avifs"}),
    "gif": frozenset({".gif"}),
}
_ALL_ENDINGS = frozenset().union(*_ENDINGS.values())
_ANSWERS: Mapping[str, tuple[Format, ...]] = {
    "jpeg": ("jpeg",),
    "png": ("png",),
    "webp": ("webp",),
    "avif": ("avif",),
    "gif": ("png", "gif"),
    "tiff": ("png",),
    "bmp": ("png",),
}
"""What a picture may be answered as, where nobody asks for a format."""

_FIRST_BYTES = 64


class PlanError(Exception):
    """What was asked makes no sense; the message says why."""


@dataclass(frozen=True)
class Target:
    """Where an answer goes. file: that one, whatever comes; else in `folder`, as `name` with the ending of its format.

    whole_name: whether a changed ending is put behind the old one, since another picture has the same name without it.
    Neither file nor folder: standard output.
    """

    folder: Path | None = None
    name: str = ""
    whole_name: bool = False
    file: Path | None = None

    def path(self, kind: Format) -> Path | None:
        """The file for an answer of that format; None is standard output."""
        if self.file is not None or self.folder is None:
            return self.file
        if Path(self.name).suffix.lower() in _ENDINGS[kind]:
            return self.folder / self.name
        stem = self.name if self.whole_name else Path(self.name).stem
        return self.folder / f"{stem}.{SUFFIXES[kind]}"


@dataclass(frozen=True)
class Errand:
    """One picture to be done."""

    source: Source
    target: Target


def format_of(out: str) -> Format | None:
    """The format that a file's name asks for. Raises PlanError where it is one that is not answered."""
    suffix = Path(out).suffix.lower()
    for kind, endings in _ENDINGS.items():
        if suffix in endings:
            return kind
    if suffix:
        known = ", ".join(sorted(ending for endings in _ENDINGS.values() for ending in endings))
        raise PlanError(f"-o {out}: {suffix} is no format that can be written; there are {known}")
    return None


def is_one_file(named: Sequence[str], out: str) -> bool:
    """Whether `out` is the file for one picture, rather than a folder."""
    folder = Path(out).is_dir() or out.endswith(("/", "\\")) or not Path(out).suffix
    return not folder and (Path(out).suffix.lower() in _ALL_ENDINGS or is_one(named))


def is_one(named: Sequence[str]) -> bool:
    """Whether it is one file that is named."""
    return len(named) == 1 and not Path(named[0]).is_dir()


def plan(sources: Sequence[Source], out: str | None, one_file: bool) -> list[Errand]:
    """A target for each source. Raises PlanError where there can be none."""
    if out is None or out == STANDARD:
        if len(sources) != 1:
            raise PlanError(f"standard output takes one picture, and there are {len(sources)}: name a folder with -o")
        return [Errand(sources[0], Target())]
    path = Path(out)
    if one_file and len(sources) == 1:
        return [Errand(sources[0], Target(file=path))]
    if path.exists() and not path.is_dir():
        raise PlanError(f"-o {out} is a file; expected a folder for {len(sources)} pictures")
    names = [source.path.name if source.path else "stdin" for source in sources]
    places = [path / source.below for source in sources]
    stems = Counter((place, Path(name).stem.lower()) for place, name in zip(places, names, strict=True))
    return [
        Errand(source, Target(place, name, stems[place, Path(name).stem.lower()] > 1))
        for source, place, name in zip(sources, places, names, strict=True)
    ]


def done_already(errand: Errand, kind: Format | None) -> Path | None:
    """The file that an earlier run left for it, whichever format that had; None where there is none."""
    if errand.source.path is None:
        kinds: tuple[Format, ...] = (kind,) if kind else ()
    else:
        kinds = (kind,) if kind else _ANSWERS.get(_sniffed(errand.source.path), ())
    paths = (errand.target.path(each) for each in kinds)
    return next((path for path in paths if path is not None and path.exists()), None)


def is_itself(errand: Errand, path: Path) -> bool:
    """Whether an answer at `path` would replace the picture that it is made of."""
    source = errand.source.path
    return source is not None and path.exists() and path.samefile(source)


def _sniffed(path: Path) -> str:
    with path.open("rb") as file:
        return sniff(file.read(_FIRST_BYTES)) or ""
