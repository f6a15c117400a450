"""Write docs/gallery.md from the cards of the bundled checkpoints."""

from pathlib import Path
from typing import Any

from nets.checkpoint import Card, load

ROOT = Path(__file__).resolve().parent.parent
CHECKPOINTS = ROOT / "checkpoints"

HEAD = """# The gallery

Written by `make pictures` from the cards of the bundled checkpoints (`GET /models/stylize/mosaic` shows one).

![Every style on the same three photographs](images/styles.jpg)

![Every factor on the same crop](images/upscale.jpg)

All checkpoints are CC0. Minutes are of one or two CPU cores, with other trainings beside; a dash: not recorded then
(and of `x8` only the last 500 iterations were). Iterations are those of the last step; `from` is the network that it
started from. `starry_night` came from the first mosaic network, `x4` from 4,000 iterations from scratch that `x2` and
`x8` started from too.

What the pictures show: `the_scream`, `wave` and `composition_vii` leave some smooth backgrounds as flat veils of one
colour; `engraving` has the lines and few of the flat colours; `udnie` the planes and little of the contrast;
`neutral` drifts in colour and greys flat regions ([ADR 4](decisions/0004-one-family.md)). `x4_perceptual` has a faint
weave in fur at high magnification, and `x8_perceptual` is noisier than `x8` without a better LPIPS
([results.md](results.md)).
"""


def main() -> None:
    """One table per task."""
    cards = {path: load(path) for path in sorted(CHECKPOINTS.glob("*/*.safetensors"))}
    names = {loaded.version: f"`{loaded.card.name}`" for loaded in cards.values()}
    lines = [HEAD]
    for task, title in (("stylize", "## Styles"), ("upscale", "## Factors")):
        lines += [title, "", "| name | width | iterations | minutes | from | source |", "|---|---|---|---|---|---|"]
        lines += [row(loaded.card, names) for loaded in cards.values() if loaded.card.task == task] + [""]
    (ROOT / "docs" / "gallery.md").write_text("\n".join(lines), encoding="utf-8")


def row(card: Card, names: dict[str, str]) -> str:
    """One line of the table."""
    training: dict[str, Any] = card.training
    parent = names.get(card.parent or "", f"an earlier one ({(card.parent or '')[7:15]})") if card.parent else "scratch"
    seconds = training.get("seconds")
    minutes = f"{seconds / 60:.0f}" if seconds else "-"
    width = card.config["width"]
    return f"| `{card.name}` | {width} | {training['iterations']} | {minutes} | {parent} | {card.source} |"


if __name__ == "__main__":
    main()
