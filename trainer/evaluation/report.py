"""The report of a comparison, as one self-contained page and as Markdown, from the same numbers."""

import base64
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from nets.files import replace_file
from trainer.errors import TrainerError
from trainer.evaluation import literature, plots
from trainer.evaluation.results import (
    AnyPart,
    Duel,
    Likeness,
    Machine,
    Speed,
    Styles,
    Upscaling,
    UpscalingRow,
    read_part,
)
from trainer.evaluation.sections import write_section

_COUNTS = (100, 300, 500)
_COMPARED_AFTER = 100
_ABSENT = "\N{EN DASH}"
_PLACES = {"psnr": 2, "ssim": 4, "lpips": 4, "relu2_2": 4}


@dataclass(frozen=True)
class StyleLine:
    """One style, averaged over its photographs. gatys: after 100 iterations, or after the last of a shorter run."""

    style: str
    network: float
    gatys: float
    after: int
    equal_at: str
    duels: list[Duel]

    @property
    def reached(self) -> bool:
        """Whether the network is at or below Gatys."""
        return self.network <= self.gatys


@dataclass(frozen=True)
class Table:
    """One benchmark at one factor: measured rows and the published ones."""

    benchmark: str
    factor: int
    rows: list[UpscalingRow]
    published: list[literature.PublishedScore]

    def cells(self, row: UpscalingRow) -> list[tuple[str, bool]]:
        """PSNR, SSIM, LPIPS and relu2_2 as text, each with whether it is the best that was measured."""
        cells = []
        for name, places in _PLACES.items():
            value = getattr(row, name)
            known = [other for r in self.rows if (other := getattr(r, name)) is not None]
            best = max if name in {"psnr", "ssim"} else min
            cells.append((_ABSENT, False) if value is None else (f"{value:.{places}f}", value == best(known)))
        return cells


def write_report(folder: Path, results: Path | None) -> Path:
    """Write FOLDER/report.html, and `results` as Markdown, from the parts of a comparison and FOLDER/pictures/.

    The Markdown leaves out the speed: `make bench PART=paper` measures it for the network as the service
    computes it. Both name the parts that were not measured. Raises TrainerError if no part was measured.
    """
    upscaling, styles, speed = read_part(folder, Upscaling), read_part(folder, Styles), read_part(folder, Speed)
    likeness = read_part(folder, Likeness)
    quality: dict[str, AnyPart | None] = {"styles": styles, "likeness": likeness, "super-resolution": upscaling}
    if all(part is None for part in (styles, speed, upscaling, likeness)):
        raise TrainerError(f"{folder} contains no measurements; run `compare --out {folder}` first")
    values: dict[str, Any] = {
        "absent": _ABSENT,
        "machines": _machines(quality | {"speed": speed}),
        "counts": _COUNTS,
        "compared_after": _COMPARED_AFTER,
        "equality": literature.EQUALITY,
        "styles": styles,
        "style_lines": style_lines(styles.duels) if styles else [],
        "likeness": likeness,
        "speed": speed,
        "published_seconds": {row.side_px: row for row in literature.SECONDS},
        "upscaling": upscaling,
        "tables": tables(upscaling.rows) if upscaling else [],
    }
    page = folder / "report.html"
    replace_file(page, _environment().get_template("report.html").render(values, **_figures(folder, values)).encode())
    if results is not None:
        text = _environment().get_template("results.md").render(values | {"machines": _machines(quality)})
        write_section(results, "python -m trainer compare", text)
    return page


def _machines(parts: Mapping[str, AnyPart | None]) -> dict[Machine, list[str]]:
    """Return the names of the measured parts by machine and date."""
    machines: dict[Machine, list[str]] = defaultdict(list)
    for name, part in parts.items():
        if part is not None:
            machines[part.machine].append(name)
    return machines


def style_lines(duels: list[Duel]) -> list[StyleLine]:
    """Average the duels of each style, in their order."""
    by_style: dict[str, list[Duel]] = defaultdict(list)
    for duel in duels:
        by_style[duel.style].append(duel)
    lines = []
    for style, own in by_style.items():
        after = min(_COMPARED_AFTER, *(len(duel.gatys) for duel in own))
        network, gatys = mean(duel.network for duel in own), mean(duel.gatys[after - 1] for duel in own)
        lines.append(StyleLine(style, network, gatys, after, _equal_at(own), own))
    return lines


def _equal_at(duels: list[Duel]) -> str:
    """Return the mean, as a lower bound if Gatys stayed above the network on some photograph."""
    iterations = mean(duel.equal_at or len(duel.gatys) for duel in duels)
    return f"> {int(iterations)}" if any(duel.equal_at is None for duel in duels) else f"{iterations:.0f}"


def tables(rows: list[UpscalingRow]) -> list[Table]:
    """Make one table per benchmark and factor, in the order of the rows."""
    groups: dict[tuple[str, int], list[UpscalingRow]] = defaultdict(list)
    for row in rows:
        groups[row.benchmark, row.factor].append(row)
    return [
        Table(
            benchmark,
            factor,
            own,
            [s for s in literature.SCORES if (s.benchmark, s.factor) == (benchmark.lower(), factor)],
        )
        for (benchmark, factor), own in groups.items()
    ]


def _figures(folder: Path, values: dict[str, Any]) -> dict[str, Any]:
    """Return the plots as markup, and a function that turns a picture of the folder into a data URI."""
    drawn = {"objectives": "", "seconds": "", "scatter": ""}
    plotted_style = ""
    if lines := values["style_lines"]:
        longest = max(lines, key=lambda line: len(line.duels[0].gatys))
        drawn["objectives"], plotted_style = plots.objectives(longest.duels), longest.style
    if values["speed"] is not None:
        drawn["seconds"] = plots.seconds(values["speed"].rows)
    for table in values["tables"]:
        if (table.benchmark.lower(), table.factor) == ("set5", 4):
            drawn["scatter"] = plots.distortion_and_perception(table.rows)
    figures: dict[str, Any] = {name: Markup(text) for name, text in drawn.items()}  # noqa: S704  # drawn by plots

    def picture(name: str) -> str | None:
        path = folder / "pictures" / f"{name}.jpg"
        return f"data:image/jpeg;base64,{base64.b64encode(path.read_bytes()).decode()}" if path.exists() else None

    return figures | {"picture": picture, "plotted_style": plotted_style}


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("trainer.evaluation"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
