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

All checkpoints are CC0. Minutes are of two CPU cores, often with another training beside; a dash: not recorded then.
Iterations are those of the last step; `from` is the network that it started from.
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
