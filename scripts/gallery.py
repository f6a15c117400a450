"""Write docs/gallery.md from the cards of the bundled checkpoints."""

from pathlib import Path
from typing import Any

from nets.checkpoint import Card, load

ROOT = Path(__file__).resolve().parent.parent
CHECKPOINTS = ROOT / "checkpoints"
PATH = ROOT / "docs" / "gallery.md"
TASKS = {"stylize": "## Styles", "upscale": "## Factors"}

HEAD = """# The gallery

`make pictures` writes this page from the cards of the bundled checkpoints. `GET /models/stylize/mosaic` returns a
card.

![Every style on the same three photographs](images/styles.jpg)

![Every factor on the same crop](images/upscale.jpg)

The licence of each checkpoint is in its card: CC0 for styles, Apache-2.0 for upscalers, which come from SPAN
([ADR 28](decisions/0028-span.md)). The styles share one trunk and were trained together
([ADR 19](decisions/0019-one-trunk-many-styles.md)): 14,154 iterations, an interpolation, then those of the table. An
iteration trains two styles. `neutral` returns the photograph: `strength` mixes it with the others.

Known defects: `mosaic` hides small faces. `the_scream` blurs small things. A fine weave can be seen in flat areas of
`composition_vii` and `starry_night` at high magnification. `x4_perceptual` and `x8_perceptual` add
a faint weave to fur. `x4_photo` leaves traces of the blocks of a JPEG of low quality.

Minutes are those of the last training step, on one or two CPU cores beside other work; a dash means not recorded.
`x4_photo` and the networks for `detail` had earlier training
([ADR 6](decisions/0006-perceptual-upscaling.md), [ADR 25](decisions/0025-photographs.md)).
"""


def main() -> None:
    """Write the page."""
    PATH.write_text(document(), encoding="utf-8")


def document() -> str:
    """Return the page: one table per task."""
    paths = sorted(path for task in TASKS for path in (CHECKPOINTS / task).glob("*.safetensors"))
    cards = {path: load(path) for path in paths}
    names = {loaded.version: f"`{loaded.card.name}`" for loaded in cards.values()}
    lines = [HEAD]
    for task, title in TASKS.items():
        lines += [title, "", "| name | iterations | minutes | from | source |", "|---|---|---|---|---|"]
        lines += [row(loaded.card, names) for loaded in cards.values() if loaded.card.task == task] + [""]
    return "\n".join(lines)


def row(card: Card, names: dict[str, str]) -> str:
    """Return one row of the table."""
    training: dict[str, Any] = card.training
    parent = _parent(card, names)
    seconds = training.get("seconds")
    minutes = f"{seconds / 60:.0f}" if seconds else "-"
    return f"| `{card.name}` | {training.get('iterations', '-')} | {minutes} | {parent} | {card.source} |"


def _parent(card: Card, names: dict[str, str]) -> str:
    if card.trunk:
        return f"trunk `{card.trunk.partition('@')[0]}`"
    if card.parent:
        return names.get(card.parent, f"an earlier one ({card.parent[7:15]})")
    return "scratch" if card.training.get("recipe") else "published weights"


if __name__ == "__main__":
    main()
