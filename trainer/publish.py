"""Publishing: from a trained network to a checkpoint for the service."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from nets import checkpoint, trunk
from nets.files import replace_file
from nets.style_trunk import StyleTrunkNet
from trainer.config import FamilyRecipe, FamilyStyle, StyleRecipe, UpscaleRecipe
from trainer.data import count_skipped
from trainer.errors import TrainerError
from trainer.loop.runs import Run

_ORIGIN = {"style_image_sha256": "another style image", "photographs_sha256": "other photographs"}
"""Fields of the card that identify the origin of a checkpoint, and what a difference means."""


def training_facts(
    recipe: StyleRecipe | FamilyRecipe | UpscaleRecipe,
    settings: dict[str, Any],
    run: Run,
    photographs: int,
    precision: str,
    revision: str,
) -> dict[str, Any]:
    """Return the training section of a card. settings: those that the run began with."""
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
    """Write RUN/checkpoints/TASK/NAME.safetensors with a complete card, and return its path."""
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


def publish_family(
    run: Run,
    recipe: FamilyRecipe,
    nets: Mapping[str, StyleTrunkNet],
    training: dict[str, Any],
    style_digests: Mapping[str, str],
) -> list[Path]:
    """Write RUN/checkpoints/trunks/NAME.safetensors and a checkpoint for each style of it; return their paths."""
    first = next(iter(nets.values()))
    path = run.checkpoints / trunk.FOLDER / f"{recipe.name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    shared = {key: value for key, value in training.items() if key != "recipe"}
    replace_file(path, trunk.dumps_trunk(first, recipe.name, shared | {"recipe": _without_styles(training["recipe"])}))
    return [
        path,
        *(
            publish_style(run.checkpoints, path, nets[style.name], style, training, style_digests.get(style.name))
            for style in recipe.styles
        ),
    ]


def publish_style(
    repository: Path,
    trunk_file: Path,
    net: StyleTrunkNet,
    style: FamilyStyle,
    training: Mapping[str, Any],
    style_image_sha256: str | None,
    metrics: Mapping[str, Any] | None = None,
) -> Path:
    """Write REPOSITORY/stylize/NAME.safetensors, a style of the trunk in `trunk_file`; return its path."""
    shared = trunk.read_trunk(trunk_file)
    net = net.cpu().float()
    net.load_state_dict({**net.state_dict(), **shared.weights})  # rounded as in the file
    facts = {key: value for key, value in training.items() if key != "recipe"}
    facts["recipe"] = _without_styles(training["recipe"]) | {"style": style.model_dump()}
    if style_image_sha256 is not None:
        facts["style_image_sha256"] = style_image_sha256
    card = checkpoint.make_card(
        net,
        style.name,
        trunk=shared.reference,
        parent=None,
        license=style.license,
        source=style.source,
        training=facts,
        metrics=dict(metrics or {}),
    )
    path = repository / card.task / f"{style.name}.safetensors"
    checkpoint.save(path, net, card)
    return path


def _without_styles(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return a family's recipe without its styles: the card of each style has its own entry."""
    return {key: value for key, value in recipe.items() if key not in {"styles", "style_images"}}


def publish(run: Run, repository: Path, force: bool = False) -> list[Path]:
    """Copy every checkpoint of a run into a model repository, verified.

    force: replace checkpoints of another origin too. Raises TrainerError if the run has no checkpoint, or, before
    anything is copied, if a checkpoint of the same name has another origin.
    """
    made = sorted(run.checkpoints.glob("*/*.safetensors"))
    if not made:
        raise TrainerError(f"{run.directory} has no checkpoint yet: let its training finish first")
    made.sort(key=lambda path: path.parent.name != trunk.FOLDER)  # trunks first, because styles need them
    if not force:
        for path in made:
            _refuse_another_origin(path, repository / path.relative_to(run.checkpoints))
    published = []
    for path in made:
        if path.parent.name == trunk.FOLDER:
            trunk.read_trunk(path)
        else:
            checkpoint.load(path)
        target = repository / path.relative_to(run.checkpoints)
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_file(target, path.read_bytes())
        published.append(target)
    return published


def _refuse_another_origin(made: Path, target: Path) -> None:
    """Raise TrainerError if `target` exists and was trained on other images than `made`."""
    if not target.exists() or target.read_bytes() == made.read_bytes():
        return
    if made.parent.name == trunk.FOLDER:
        reason = "is another trunk, and the styles in that folder may need it"
    else:
        ours, theirs = checkpoint.read_card(made)[0], checkpoint.read_card(target)[0]
        differing = [what for fact, what in _ORIGIN.items() if ours.training.get(fact) != theirs.training.get(fact)]
        if not differing:
            return
        reason = f"was trained on {' and '.join(differing)} ({theirs.source or 'no source given'})"
    raise TrainerError(f"{target} {reason}: train with another --name, or replace it with --force")
