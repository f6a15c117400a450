"""The plots of the report, as SVG text to stand in a page."""

import io
from statistics import mean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainer.findings import Duel, SpeedRow, UpscalingRow

_INK, _ACCENT = "#666", "#c2410c"


def objectives(duels: list[Duel]) -> str:
    """Gatys' objective by iteration and the network's as a line, both averaged over the photographs of one style."""
    figure, axes = _figure("iterations of Gatys et al. (L-BFGS)", "objective")
    curve = [mean(values) for values in zip(*(duel.gatys for duel in duels), strict=True)]
    network = mean(duel.network for duel in duels)
    axes.plot(range(1, len(curve) + 1), curve, color=_INK, label="Gatys et al.")
    axes.axhline(network, color=_ACCENT, label=f"the network, one pass ({network:.2f})")
    equal = next((i + 1 for i, value in enumerate(curve) if value <= network), None)
    if equal is not None:
        axes.plot([equal], [network], "o", color=_ACCENT)
        axes.annotate(f"equal after {equal}", (equal, network), (6, 8), textcoords="offset points", color=_ACCENT)
    axes.set_yscale("log")
    axes.legend(frameon=False, labelcolor=_INK)
    return _svg(figure)


def seconds(rows: list[SpeedRow]) -> str:
    """Seconds of one pass and of 500 iterations, by size."""
    figure, axes = _figure("side of the picture, px", "seconds")
    sides = [str(row.side_px) for row in rows]
    axes.plot(sides, [500 * row.gatys_seconds_per_iteration for row in rows], "o-", color=_INK, label="Gatys, 500")
    axes.plot(sides, [row.network_seconds for row in rows], "o-", color=_ACCENT, label="the network")
    axes.set_yscale("log")
    axes.legend(frameon=False, labelcolor=_INK)
    return _svg(figure)


def distortion_and_perception(rows: list[UpscalingRow]) -> str:
    """PSNR against LPIPS: to the right is faithful, up is alike to the eye."""
    figure, axes = _figure("PSNR, dB", "LPIPS (downwards is more alike)")
    for row in rows:
        if row.lpips is not None:
            axes.plot([row.psnr], [row.lpips], "o", color=_ACCENT)
            axes.annotate(row.method, (row.psnr, row.lpips), (6, 4), textcoords="offset points", color=_INK)
    axes.margins(0.25, 0.15)
    return _svg(figure)


def _figure(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.set_xlabel(x, color=_INK)
    axes.set_ylabel(y, color=_INK)
    axes.tick_params(colors=_INK, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]  # a page wants neither the XML declaration nor the document type
