"""Write docs/gallery.md from the cards of the bundled checkpoints."""

from pathlib import Path
from typing import Any

from nets.checkpoint import Card, load

ROOT = Path(__file__).resolve().parent.parent
CHECKPOINTS = ROOT / "checkpoints"

HEAD = """# The gallery

`make pictures` writes this page from the cards of the bundled checkpoints. `GET /models/stylize/mosaic` returns a
card.

![Every style on the same three photographs](images/styles.jpg)

![Every factor on the same crop](images/upscale.jpg)

All checkpoints are CC0. Iterations and minutes are those of the last training step, on one or two CPU cores beside
other work; a dash means not recorded. The minutes of `x8` cover the last 500 iterations. `from` is the network that
the training started from. `starry_night` came from the first mosaic network; `x4` from 4,000 iterations from scratch,
from which `x2` and `x8` started too.

Known defects: `the_scream`, `wave` and `composition_vii` turn some smooth backgrounds into flat veils of one colour.
`engraving` has its lines but few flat colours, and `udnie` its planes but little contrast. `neutral` shifts colours
and greys flat regions ([ADR 4](decisions/0004-one-family.md)). `x4_perceptual` adds a faint weave to fur at high
magnification. `x8_perceptual` is noisier than `x8`, and its LPIPS is not better ([Results](results.md)).
"""


def main() -> None:
    """Write the page: one table per task."""
    cards = {path: load(path) for path in sorted(CHECKPOINTS.glob("*/*.safetensors"))}
    names = {loaded.version: f"`{loaded.card.name}`" for loaded in cards.values()}
    lines = [HEAD]
    for task, title in (("stylize", "## Styles"), ("upscale", "## Factors")):
        lines += [title, "", "| name | width | iterations | minutes | from | source |", "|---|---|---|---|---|---|"]
        lines += [row(loaded.card, names) for loaded in cards.values() if loaded.card.task == task] + [""]
    (ROOT / "docs" / "gallery.md").write_text("\n".join(lines), encoding="utf-8")


def row(card: Card, names: dict[str, str]) -> str:
    """Return one row of the table."""
    training: dict[str, Any] = card.training
    parent = names.get(card.parent or "", f"an earlier one ({(card.parent or '')[7:15]})") if card.parent else "scratch"
    seconds = training.get("seconds")
    minutes = f"{seconds / 60:.0f}" if seconds else "-"
    width = card.config["width"]
    return f"| `{card.name}` | {width} | {training['iterations']} | {minutes} | {parent} | {card.source} |"


if __name__ == "__main__":
    main()
