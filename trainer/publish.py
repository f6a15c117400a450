"""From a trained network to a checkpoint that the service serves."""

from pathlib import Path
from typing import Any

from torch import nn

from nets import checkpoint
from trainer.config import StyleRecipe, UpscaleRecipe
from trainer.data import count_skipped
from trainer.errors import TrainerError
from trainer.loop.runs import Run


def training_facts(
    recipe: StyleRecipe | UpscaleRecipe,
    settings: dict[str, Any],
    run: Run,
    photographs: int,
    precision: str,
    revision: str,
) -> dict[str, Any]:
    """What a card says of its training, whatever the task; `settings` are those that the run was begun with."""
    beside = {"photographs", "loss_network"}
    return {
        "recipe": {key: value for key, value in settings.items() if key not in beside},
        "iterations": recipe.iterations,
        "seconds": (run.metrics() or [{}])[-1].get("seconds"),
        "precision": precision,
        "photographs": photographs,
        "photographs_skipped": count_skipped(run.skipped),
        "photographs_sha256": settings["photographs"],
        "loss_network": settings["loss_network"],
        "git_revision": revision,
    }


def publish_run(
    run: Run, net: nn.Module, recipe: StyleRecipe | UpscaleRecipe, parent: str | None, training: dict[str, Any]
) -> Path:
    """Write RUN/checkpoints/TASK/NAME.safetensors with a complete card; returns its path."""
    card = checkpoint.make_card(
        net.cpu().float(),
        recipe.name,
        parent=parent,
        license=recipe.license,
        source=recipe.source,
        training=training,
        metrics=(run.metrics() or [{}])[-1],
    )
    path = run.checkpoints / card.task / f"{recipe.name}.safetensors"
    checkpoint.save(path, net, card)
    return path


def publish(run: Run, repository: Path) -> list[Path]:
    """Copy every checkpoint of a run into a model repository, verified. Raises TrainerError where there is none."""
    made = sorted(run.checkpoints.glob("*/*.safetensors"))
    if not made:
        raise TrainerError(f"{run.directory} has no checkpoint yet: let its training finish first")
    published = []
    for path in made:
        loaded = checkpoint.load(path)
        target = repository / path.relative_to(run.checkpoints)
        checkpoint.save(target, loaded.net, loaded.card)
        published.append(target)
    return published
