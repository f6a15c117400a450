"""The plots of the report, as SVG markup.

matplotlib is imported on use, because importing it writes a cache into the home directory.
"""

import io
from html import escape
from statistics import mean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

from trainer.evaluation.results import Duel, SpeedRow, UpscalingRow

_INK, _ACCENT = "#666666", "#c2410c"  # placeholders for the colours of the page in light and dark mode


def objectives(duels: list[Duel]) -> str:
    """Plot Gatys' objective by iteration and the network's as a line, both averaged over the photographs."""
    figure, axes = bare_axes("iterations of Gatys et al. (L-BFGS)", "objective")
    shortest = min(len(duel.gatys) for duel in duels)
    curve = [mean(duel.gatys[i] for duel in duels) for i in range(shortest)]
    network = mean(duel.network for duel in duels)
    axes.plot(range(1, shortest + 1), curve, color=_INK, label="Gatys et al.")
    axes.axhline(network, color=_ACCENT, label=f"the network, one pass ({network:.2f})")
    equal = next((i + 1 for i, value in enumerate(curve) if value <= network), None)
    if equal is not None:
        axes.plot([equal], [network], "o", color=_ACCENT)
        axes.annotate(f"equal after {equal}", (equal, network), (6, 8), textcoords="offset points", color=_ACCENT)
    axes.set_yscale("log")
    axes.legend(frameon=False, labelcolor=_INK)
    crossing = f"equal after {equal}" if equal else f"not equal within {shortest} iterations"
    return _svg(
        figure, "objectives", f"Gatys' objective falls over the iterations; the network's is a line; {crossing}."
    )


def seconds(rows: list[SpeedRow]) -> str:
    """Plot the seconds of one pass and of 500 iterations, by size."""
    figure, axes = bare_axes("side of the picture, px", "seconds")
    sides = [str(row.side_px) for row in rows]
    gatys = [500 * row.gatys_seconds_per_iteration for row in rows]
    axes.plot(sides, gatys, "o-", color=_INK, label="Gatys et al., 500 iterations")
    axes.plot(sides, [row.network_seconds for row in rows], "o-", color=_ACCENT, label="the network")
    axes.set_yscale("log")
    axes.legend(frameon=False, labelcolor=_INK)
    ratios = ", ".join(f"{row.ratio(500):.0f} times at {row.side_px} px" for row in rows)
    return _svg(figure, "seconds", f"Seconds by size: Gatys, 500 iterations, takes longer than the network {ratios}.")


def distortion_and_perception(rows: list[UpscalingRow]) -> str:
    """Plot PSNR (higher is more faithful) against LPIPS (lower is more alike); "" if no row has LPIPS."""
    points = [(row.method, row.psnr, row.lpips) for row in rows if row.lpips is not None]
    if not points:
        return ""
    figure, axes = bare_axes("PSNR, dB (to the right is more faithful)", "LPIPS (downwards is more alike)")
    for method, psnr, lpips in points:
        axes.plot([psnr], [lpips], "o", color=_ACCENT)
        axes.annotate(method, (psnr, lpips), (6, 4), textcoords="offset points", color=_INK)
    axes.margins(0.25, 0.15)
    said = "; ".join(f"{method} {psnr:.2f} dB, {lpips:.4f}" for method, psnr, lpips in points)
    return _svg(figure, "scatter", f"PSNR and LPIPS of each method: {said}.")


def bare_axes(x: str, y: str, ink: str = _INK, size_inches: tuple[float, float] = (7, 3.6)) -> tuple["Figure", "Axes"]:
    """Return axes with labels in `ink` and a transparent background."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=size_inches, layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.set_xlabel(x, color=ink)
    axes.set_ylabel(y, color=ink)
    axes.tick_params(colors=ink, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(ink)
    return figure, axes


def _svg(figure: "Figure", name: str, alternative: str) -> str:
    """Return SVG without declarations, links and ids that other plots have too."""
    import matplotlib as mpl  # noqa: PLC0415

    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):  # equal figures give equal files
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace("<svg ", f'<svg role="img" aria-label="{escape(alternative)}" ', 1)
    for mark in (' id="', 'href="#', "url(#"):
        text = text.replace(mark, f"{mark}{name}-")
    return text.replace(_INK, "currentColor").replace(_ACCENT, "var(--accent)")
