"""Recipes, read from TOML: frozen, complete and strict (an unknown key is an error)."""

import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nets.checkpoint import MODEL_NAME
from trainer.degradation import Degradations
from trainer.errors import TrainerError

LayerName = Literal["relu1_2", "relu2_2", "relu3_3", "relu4_2", "relu4_3", "relu5_1"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StyleNetwork(_Section):
    """The fields of nets.style_transfer.StyleTransferConfig."""

    width: int = Field(32, ge=1, le=256)
    residual_blocks: int = Field(5, ge=1, le=64)
    norm: Literal["instance", "batch"] = "instance"
    upsampling: Literal["resize", "transposed"] = "resize"
    padding: Literal["each", "once"] = "each"
    output: Literal["linear", "tanh"] = "linear"
    grain: float = Field(0.0, ge=0, le=0.5)


class UpscaleNetwork(_Section):
    """The fields of nets.super_resolution.SuperResolutionConfig."""

    factor: Literal[2, 4, 8] = 4
    width: int = Field(64, ge=1, le=256)
    residual_blocks: int = Field(4, ge=1, le=64)
    body: Literal["subpixel", "span", "paper", "srcnn"] = "subpixel"


class TrunkNetwork(_Section):
    """The fields of nets.style_trunk.StyleTrunkConfig."""

    width: int = Field(32, ge=1, le=256)
    residual_blocks: int = Field(5, ge=1, le=64)


class StyleData(_Section):
    """crop_px: side of a training crop. max_scale: a crop covers up to this many times its side of the photograph."""

    crop_px: int = Field(256, ge=16)
    max_scale: float = Field(1.0, ge=1.0)
    batch: int = Field(4, ge=1)
    style_px: int = Field(384, ge=16, description="short side of the style image")


class FamilyData(StyleData):
    """passes: how often each crop is used, by a different style each time, while its content features are kept."""

    passes: int = Field(1, ge=1)


class UpscaleData(_Section):
    """low_res_px: side of a low-resolution patch. blur_sigma: Gaussian blur before the bicubic reduction, in pixels.

    degradations: those of photographs, drawn for every crop; None reduces all crops by bicubic.
    """

    low_res_px: int = Field(48, ge=8)
    batch: int = Field(16, ge=1)
    blur_sigma: float = Field(0.0, ge=0.0)
    augment: bool = True
    degradations: Degradations | None = None

    @model_validator(mode="after")
    def _blurred_once(self) -> Self:
        if self.degradations is not None and self.blur_sigma:
            raise ValueError("blur_sigma is for bicubic reduction alone; expected degradations.blur_sigma")
        return self


class StyleLoss(_Section):
    """Weights of the loss terms.

    gram_scale: "relative" divides each layer's style term by the style's own energy, so that one weight serves every
        style; "absolute" is the paper's.
    content_scale: "relative" divides the content term by the variance of the content image's features.
    half_layers: style layers that are compared once more on the picture and the painting reduced by two, which makes
        larger strokes; none is the paper's.
    half_content_layer: the content layer of the reduced picture.
    full_scale_share: the share of iterations that compare at full scale; the others compare the reduced pictures, for
        a quarter of the work. 1 compares at both scales in every iteration.
    light_weight: weight of preserving light and dark parts of the photograph (losses.light).
    contrast_weight: weight of keeping the contrast of the photograph (losses.lost_contrast).
    grid_weight: weight of spreading sharpness evenly over cells of pixels (losses.grid).
    spike_weight: see trainer.objective.activation_penalty.
    """

    content_layer: LayerName = "relu3_3"
    content_weight: float = Field(1.0, ge=0)
    style_weight: float = Field(5.0, gt=0)
    style_layers: dict[LayerName, Annotated[float, Field(gt=0)]] = {
        "relu1_2": 1.0,
        "relu2_2": 1.0,
        "relu3_3": 1.0,
        "relu4_3": 1.0,
    }
    half_layers: dict[LayerName, Annotated[float, Field(gt=0)]] = {}
    half_content_layer: LayerName = "relu3_3"
    full_scale_share: float = Field(1.0, gt=0, le=1)
    gram_scale: Literal["relative", "absolute"] = "relative"
    content_scale: Literal["relative", "absolute"] = "absolute"
    total_variation_weight: float = Field(0.0, ge=0)
    range_weight: float = Field(0.0, ge=0)
    light_weight: float = Field(0.0, ge=0)
    contrast_weight: float = Field(0.0, ge=0)
    grid_weight: float = Field(0.0, ge=0)
    spike_weight: float = Field(0.0, ge=0)


class UpscaleLoss(_Section):
    """pixel: "l1" or the paper's "squared". feature_weight: of the paper's perceptual loss at feature_layer.

    lpips_weight: of LPIPS, a perceptual loss over five layers of VGG16. adversarial_weight: of
    trainer.objective.adversary; it is left out for the first `adversary_warm_up` iterations. grid_weight: of
    spreading sharpness evenly over cells of pixels (losses.grid). fine_weight: of the pixel loss for the finest detail
    alone (losses.fine). lattice_weight: of differences that repeat from cell to cell (losses.lattice). A weight of 0
    turns a term off. pixel_iterations: at the start, with the pixel loss alone, which is faster.
    """

    pixel: Literal["l1", "squared"] = "l1"
    pixel_weight: float = Field(1.0, ge=0)
    pixel_iterations: int = Field(0, ge=0)
    feature_layer: LayerName = "relu2_2"
    feature_weight: float = Field(0.0, ge=0)
    lpips_weight: float = Field(0.0, ge=0)
    adversarial_weight: float = Field(0.0, ge=0)
    adversary_warm_up: int = Field(100, ge=0)
    grid_weight: float = Field(0.0, ge=0)
    fine_weight: float = Field(0.0, ge=0)
    lattice_weight: float = Field(0.0, ge=0)


class Optimiser(_Section):
    """Adam.

    warm_up: iterations over which the rate rises to `learning_rate`.
    decay_from: the fraction of the run after which the rate falls along a cosine to a fiftieth; 1 is never.
    average: decay of the running average of the weights that is published; 0 publishes the last weights.
    """

    learning_rate: float = Field(1e-3, gt=0)
    warm_up: int = Field(0, ge=0)
    decay_from: float = Field(1.0, ge=0, le=1)
    average: float = Field(0.0, ge=0, lt=1)
    clip_norm: float = Field(0.0, ge=0, description="largest norm of the gradient; 0 is no limit")


class _Recipe(_Section):
    name: str = Field(pattern=MODEL_NAME)
    iterations: int = Field(ge=1)
    seed: int = Field(0, ge=0)
    parent: str = ""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    save_every: int = Field(200, ge=1)
    sample_every: int = Field(200, ge=1)
    license: str = ""
    source: str = ""
    optimiser: Optimiser = Optimiser()


class StyleRecipe(_Recipe):
    """Trains one style. `style_image` is a path, or a file name in the config's folder or in IMPASTO_STYLES.

    neutral_iterations: iterations at the start in which the network learns to return the photograph, without the loss
    network, so that the content is not lost later.
    """

    style_image: str = ""
    neutral_iterations: int = Field(0, ge=0)
    network: StyleNetwork = StyleNetwork()
    data: StyleData = StyleData()
    loss: StyleLoss = StyleLoss()

    @property
    def paints(self) -> bool:
        """Whether the recipe has a style: one that is neutral to its end needs no style image."""
        return self.neutral_iterations < self.iterations

    @model_validator(mode="after")
    def _with_a_style_to_paint(self) -> Self:
        if self.paints and not self.style_image:
            raise ValueError("style_image is missing (only a recipe with neutral_iterations = iterations needs none)")
        return self


class FamilyStyle(_Section):
    """One style of a family.

    style_image: the painting; None for a neutral style, which learns to return the photograph.
    style_weight, content_weight: factors of the family's own weights.
    """

    name: str = Field(pattern=MODEL_NAME)
    style_image: str = ""
    style_px: int = Field(512, ge=16, description="short side of the style image")
    style_weight: float = Field(1.0, gt=0)
    content_weight: float = Field(1.0, ge=0)
    license: str = ""
    source: str = ""

    def weigh(self, loss: StyleLoss) -> StyleLoss:
        """Return the family's loss with this style's factors."""
        return loss.model_copy(
            update={
                "style_weight": loss.style_weight * self.style_weight,
                "content_weight": loss.content_weight * self.content_weight,
            }
        )


class FamilyRecipe(_Recipe):
    """Trains one trunk and a style for each painting of `styles`, all at once (Dumoulin et al. 2017).

    styles_per_iteration: styles that an iteration trains, each on `data.batch` photographs; they take turns.
    style_rate: the learning rate of scales and shifts, as a multiple of the trunk's: a style is trained in few
        iterations, the trunk in all.
    parent: the model repository to start from; in a card, the reference of its trunk.
    """

    neutral_iterations: int = Field(0, ge=0)
    styles_per_iteration: int = Field(2, ge=1)
    style_rate: float = Field(1.0, gt=0)
    network: TrunkNetwork = TrunkNetwork()
    data: FamilyData = FamilyData()
    loss: StyleLoss = StyleLoss()
    styles: Annotated[list[FamilyStyle], Field(min_length=1)]

    @model_validator(mode="after")
    def _with_distinct_names(self) -> Self:
        names = [style.name for style in self.styles]
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two styles are named {doubled[0]}")
        return self


class UpscaleRecipe(_Recipe):
    """Trains the upscaler of one factor."""

    network: UpscaleNetwork = UpscaleNetwork()
    data: UpscaleData = UpscaleData()
    loss: UpscaleLoss = UpscaleLoss()

    @model_validator(mode="after")
    def _named_by_its_factor(self) -> Self:
        plain = f"x{self.network.factor}"
        if self.name != plain and not self.name.startswith(f"{plain}_"):
            raise ValueError(f"name must be {plain} or {plain}_something: the service knows an upscaler by its factor")
        return self

    @model_validator(mode="after")
    def _of_a_size_for_the_adversary(self) -> Self:
        side = self.data.low_res_px * self.network.factor
        if self.loss.adversarial_weight and side % 8:
            raise ValueError(f"low_res_px times factor is {side}: expected a multiple of 8 with adversarial_weight")
        return self


Recipe = TypeVar("Recipe", bound=_Recipe)


def read_recipe(path: Path, kind: type[Recipe]) -> Recipe:
    """Read a TOML file as a recipe of `kind`. Raises TrainerError that names the file, the key and the value."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainerError(f"{path}: cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise TrainerError(f"{path}: not TOML: {error}") from error
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))} = {e['input']!r}: {_explanation(e['msg'])}" for e in error.errors()]
        raise TrainerError(f"{path}: " + "; ".join(lines)) from error


def _explanation(message: str) -> str:
    """Reword a message of pydantic: "Input should be a valid integer" -> "expected a valid integer"."""
    if message == "Extra inputs are not permitted":
        return "there is no such setting"
    own = message.removeprefix("Value error, ")
    if own != message:
        return own
    words = re.sub(r"^(Input|String|Value) should (be|match|have) ", "", message)
    return "expected " + re.sub(r",? unable to .*$", "", words)
