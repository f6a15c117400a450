"""Learn a style from a painting: fit it to a trunk, check it, and publish it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

from nets.files import replace_file
from nets.style_trunk import StyleTrunkNet
from nets.trunk import FOLDER, read_trunk
from trainer.config import FamilyStyle, StyleLoss
from trainer.data import read_painting
from trainer.errors import TrainerError
from trainer.evaluation import style_check
from trainer.evaluation.style_distance import STYLE_PX
from trainer.loop.runs import git_revision
from trainer.objective.loss_network import LossNetwork, load_loss_network
from trainer.publish import publish_style
from trainer.recipes import style_family, style_fit


@dataclass(frozen=True)
class LearningOrder:
    """A painting to be learned.

    minutes: the training time. photographs: folders of content images; none for those that are bundled. state: see
    `style_fit.Fit`. check: publish only a style that passes `style_check`. facts: for the card's `training`.
    """

    style: FamilyStyle
    painting: Path
    minutes: float
    photographs: list[Path]
    state: Path | None = None
    check: bool = True
    facts: Mapping[str, object] = field(default_factory=dict)


class StyleLearner:
    """Learns styles of one trunk, one after the other. The loss network is loaded once, for the first of them."""

    def __init__(
        self, repository: Path, trunk: str, loss: StyleLoss, styles: Mapping[str, StyleTrunkNet], vgg16: Path | None
    ) -> None:
        """repository: holds the trunk. styles: those of the trunk, by name."""
        self._trunk_file = repository / FOLDER / f"{trunk}.safetensors"
        self._loss, self._styles, self._vgg16 = loss, styles, vgg16

    @cached_property
    def _loss_network(self) -> LossNetwork:
        return load_loss_network(self._vgg16)

    def learn(
        self, order: LearningOrder, to: Path, say: Callable[[style_fit.FitProgress], None] | None = None
    ) -> tuple[Path, style_fit.Fitted]:
        """Learn a painting and write it into the model repository `to`, together with its trunk.

        say: called after each iteration. Raises TrainerError for a painting that cannot be learned, and for a style
        that does not pass the check.
        """
        image = read_painting(order.painting, STYLE_PX)
        style_check.refuse_flat(image)
        settings = style_fit.Fit(self._loss, 60 * order.minutes, order.photographs, order.state)
        fitted = style_fit.fit(self._styles, self._loss_network, order.style, order.painting, settings, say)
        metrics = {}
        if order.check:
            metrics = asdict(style_check.check_style(fitted.net, self._styles, image, self._loss_network))
        training = {
            **order.facts,
            "recipe": {"loss": self._loss.model_dump(), "fitted_from": fitted.start, "minutes": order.minutes},
            "iterations": fitted.iterations,
            "photographs": [folder.name for folder in order.photographs] or "bundled",
            "git_revision": git_revision(),
        }
        digest = style_family.digest_of_file(order.painting)
        path = publish_style(to, self._trunk_in(to), fitted.net, order.style, training, digest, metrics)
        return path, fitted

    def _trunk_in(self, repository: Path) -> Path:
        """Return the trunk's file in a repository, and copy it there first. Raises TrainerError for another trunk."""
        target = repository / FOLDER / self._trunk_file.name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            replace_file(target, self._trunk_file.read_bytes())
        elif read_trunk(target).reference != read_trunk(self._trunk_file).reference:
            raise TrainerError(
                f"{target} is another trunk than {self._trunk_file}, and the styles beside it may need it"
            )
        return target
