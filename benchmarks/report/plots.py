"""The plots of docs/results.md, as SVG files that stand on a light page and on a dark one."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from trainer.evaluation.plots import bare_axes

_INK = "#808080"
_OURS = "#c2410c"
_OTHERS = ("#2563eb", "#059669", "#9333ea", "#ca8a04", "#0891b2", "#64748b")
_DASHES = ("-", "--", ":")

Line = tuple[Sequence[float], Sequence[float]]


def lines(path: Path, x: str, y: str, given: Mapping[tuple[str, str], Line], notes: Sequence[str] = ()) -> None:
    """One line for each (name, setting): names have colours, settings have dashes. notes: written at the points."""
    figure, axes = bare_axes(x, y, _INK, (8, 4))
    names = list(dict.fromkeys(name for name, _ in given))
    settings = list(dict.fromkeys(setting for name, setting in given if "Impasto" not in name))
    for (name, setting), (xs, ys) in given.items():
        ours = "Impasto" in name
        colour = _OURS if ours else _OTHERS[names.index(name) % len(_OTHERS)]
        own = [each for other, each in given if other == name] if ours else settings
        dash = _DASHES[own.index(setting) % len(_DASHES)]
        axes.plot(xs, ys, dash, marker="o", markersize=3, color=colour, label=f"{name}, {setting}")
        for at_x, at_y, note in zip(xs, ys, notes, strict=False):
            if ours:
                axes.annotate(note, (at_x, at_y), (3, 4), textcoords="offset points", color=colour, fontsize=7)
    axes.set_yscale("log")
    axes.legend(frameon=False, labelcolor=_INK, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _save(figure, path)


def points(path: Path, x: str, y: str, given: Mapping[str, tuple[float, float]]) -> None:
    """One point for each name, over a logarithmic x."""
    figure, axes = bare_axes(x, y, _INK, (8, 4))
    for i, (name, (at_x, at_y)) in enumerate(given.items()):
        colour = _OURS if "Impasto" in name else _INK
        axes.plot([at_x], [at_y], "o", color=colour)
        axes.annotate(
            name, (at_x, at_y), (6, -10 if i % 2 else 4), textcoords="offset points", color=colour, fontsize=7
        )
    axes.set_xscale("log")
    axes.margins(0.3, 0.15)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context({"svg.hashsalt": path.stem}):  # the same figures give the same file
        figure.savefig(path, metadata=nothing if path.suffix == ".svg" else None)
