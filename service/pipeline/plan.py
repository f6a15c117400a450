"""Turn parameters into networks and sizes. No weights are loaded, and nothing is computed.

docs/decisions/0009-parameters.md explains the choices.
"""

import math
from dataclasses import dataclass, replace

from service.errors import UnknownModelError
from service.images.types import Origin
from service.models.interpolation import Mixture, can_interpolate, group_by_family, make_mixture
from service.models.model import ModelEntry
from service.models.registry import Registry
from service.pipeline.parameters import LARGEST_STROKE, Parameters, StylizeParameters, UpscaleParameters

NEUTRAL = "stylize/neutral"
_PHOTO, _PERCEPTUAL = "_photo", "_perceptual"
"""The ends of the names of upscalers for photographs, and for detail: x4_photo, x4_perceptual."""

UNTOUCHED_PIXELS, STROKE_PIXELS = 1_000_000, 500_000
"""With stroke=auto, a picture of up to UNTOUCHED_PIXELS is painted as it is. A larger one is painted at STROKE_PIXELS,
so that its strokes grow with it."""

_PLAIN_ENLARGING = 1.25
"""Up to this factor, strokes are enlarged by resizing rather than by the next larger network. The difference is not
visible."""

_SOFTENED_EXPONENT = 0.4
"""Networks between `neutral` and a style: their output's share over the photograph is the strength to this power. They
are close to the photograph already at a small strength, so a double exposure is never seen."""

Size = tuple[int, int]
"""Height and width in pixels."""


@dataclass(frozen=True)
class Layer:
    """A network, or an average of several, and the share of its output in the picture. Shares sum to 1."""

    mixture: Mixture
    share: float


@dataclass(frozen=True)
class InferencePlan:
    """The networks for a request. Without layers the output is the input.

    named_by: the parameter that names the networks, for error messages. share: of the layers, over the photograph.
    enlargers: the networks, by factor, that may restore the size after larger strokes. photo: the plan to follow if the
    image turns out to be a photograph; None if that makes no difference.
    """

    parameters: Parameters
    named_by: str
    layers: tuple[Layer, ...]
    share: float
    enlargers: dict[int, ModelEntry]
    photo: "InferencePlan | None" = None

    @property
    def scale(self) -> int:
        """Output pixels of the networks per input pixel, along a side."""
        return self.layers[0].mixture.scale if self.layers else 1

    @property
    def keeps_colors(self) -> bool:
        """Whether the photograph's own colours are put back."""
        return isinstance(self.parameters, StylizeParameters) and self.parameters.preserve_color

    @property
    def finishes(self) -> bool:
        """Whether the networks' output needs more work before it is the result."""
        return self.share < 1 or self.keeps_colors

    @property
    def label(self) -> str:
        """The label for metrics: a model's key, never text from a client."""
        return self.layers[0].mixture.entries[0].key if self.layers else "none"

    @property
    def identities(self) -> tuple[str, ...]:
        """The networks that the output may depend on, with their versions."""
        networks = [entry for layer in self.layers for entry in layer.mixture.entries]
        own = tuple(entry.identity for entry in (*networks, *self.enlargers.values()))
        return own + (self.photo.identities if self.photo is not None else ())

    @property
    def origin(self) -> Origin | None:
        """The kind of image that the networks were trained to enlarge; None if there are none, or they paint."""
        if not self.layers or isinstance(self.parameters, StylizeParameters):
            return None
        return "photo" if self.layers[0].mixture.entries[0].card.name.endswith(_PHOTO) else "clean"

    def sizes(self, height: int, width: int, most_pixels: int) -> "Sizes":
        """Compute the sizes of a picture on its way. most_pixels: the limit for the output of any network."""
        if isinstance(self.parameters, UpscaleParameters):
            factor = _number(self.parameters)
            output = max(1, round(height * factor)), max(1, round(width * factor))
            return Sizes((height, width), (height, width), (height, width), output, None)
        base = _within(height, width, self.parameters.max_side)
        stroke = _stroke(self.parameters.stroke, *base) if self.layers else 1.0
        if stroke == 1:
            return Sizes((height, width), base, base, base, None)
        working = max(1, round(base[0] / stroke)), max(1, round(base[1] / stroke))
        fitting = [factor for factor in sorted(self.enlargers) if working[0] * working[1] * factor**2 <= most_pixels]
        enough = [factor for factor in fitting if factor * _PLAIN_ENLARGING >= stroke] or fitting[-1:]
        return Sizes((height, width), base, working, base, enough[0] if enough else None)


@dataclass(frozen=True)
class Sizes:
    """The sizes of one picture: reduced from `picture` to `base`, then to `working` for the networks, then to `output`.

    enlarger: the factor of the network that brings the networks' output back towards its size, or None.
    """

    picture: Size
    base: Size
    working: Size
    output: Size
    enlarger: int | None

    def composed_pixels(self, plan: InferencePlan) -> int:
        """Estimate the pixels that are resized, blended or coloured; their cost is predicted from this."""
        return self.extra_pixels(plan) + (math.prod(self.output) if plan.finishes else 0)

    def extra_pixels(self, plan: InferencePlan) -> int:
        """Count the pixels in memory besides the input and the output: the pictures in between."""
        steps = ((self.picture, self.base), (self.base, self.working))
        reduced = sum(math.prod(after) for before, after in steps if after != before)
        each = math.prod(self.working) * plan.scale**2
        several = len(plan.layers) * each if len(plan.layers) > 1 else 0
        enlarged = math.prod(self.working) * (self.enlarger or plan.scale) ** 2
        kept_apart = plan.layers and (plan.finishes or enlarged != math.prod(self.output))
        return reduced + several + (enlarged if kept_apart else 0)


def plan_inference(parameters: Parameters, registry: Registry) -> InferencePlan:
    """Find the networks. Raises UnknownModelError, which lists the models that are served."""
    if isinstance(parameters, StylizeParameters):
        return _stylize(parameters, registry)
    return _upscale(parameters, registry)


def _stylize(parameters: StylizeParameters, registry: Registry) -> InferencePlan:
    styles = [(registry.find("stylize", name, "style"), share) for name, share in parameters.style.items()]
    styles = sorted([style for style in styles if style[1]], key=lambda style: (-style[1], style[0].key))
    strength = parameters.strength
    if not strength:
        return InferencePlan(parameters, "style", (), 0.0, {})
    neutral = registry.entries.get(NEUTRAL)
    layers, exponent = [], _SOFTENED_EXPONENT
    for family in group_by_family(styles, registry.entries):
        share = sum(share for _, share in family)
        if strength < 1 and neutral is not None and can_interpolate(family[0][0], neutral, registry.entries):
            softened = [*((entry, part * strength) for entry, part in family), (neutral, share * (1 - strength))]
            layers.append(Layer(make_mixture(softened), share))
        else:
            layers.append(Layer(make_mixture(family), share))
            exponent = 1.0
    enlargers = {} if parameters.stroke == 1 else _plain_upscalers(registry)
    return InferencePlan(parameters, "style", tuple(layers), strength**exponent, enlargers)


def _upscale(parameters: UpscaleParameters, registry: Registry) -> InferencePlan:
    if parameters.factor == "max":
        largest = max(factors_for(parameters, registry), default=1)
        parameters = parameters.model_copy(update={"factor": float(largest)})
    detail = parameters.detail
    if parameters.factor == 1:
        return InferencePlan(parameters, "factor", (), 0.0, {})
    if parameters.source == "photo":
        entry = _for_photographs(parameters, registry)
        return InferencePlan(parameters, "source", (Layer(make_mixture([(entry, 1.0)]), 1.0),), 1.0, {})
    factor, plain = _network_factor(parameters, registry)
    parts = [(plain, 1 - detail)]
    if detail:
        parts.append((registry.find("upscale", f"x{factor}{_PERCEPTUAL}", "detail"), detail))
    groups = group_by_family([part for part in parts if part[1]], registry.entries)
    layers = tuple(Layer(make_mixture(group), sum(share for _, share in group)) for group in groups)
    plan = InferencePlan(parameters, "detail" if detail else "factor", layers, 1.0, {})
    photo = registry.entries.get(f"upscale/x{factor}{_PHOTO}")
    if parameters.source == "clean" or detail or photo is None:
        return plan
    return replace(plan, photo=replace(plan, layers=(Layer(make_mixture([(photo, 1.0)]), 1.0),)))


def factors_for(parameters: UpscaleParameters, registry: Registry) -> list[int]:
    """Return the factors of the networks that `source` and `detail` permit, sorted."""
    if parameters.source == "photo":
        return _factors_of(_PHOTO, registry)
    return _factors_of(_PERCEPTUAL, registry) if parameters.detail else sorted(_plain_upscalers(registry))


def _factors_of(ending: str, registry: Registry) -> list[int]:
    """Return the factors of the upscalers whose name has that ending, sorted."""
    names = (name.removesuffix(ending).removeprefix("x") for name in registry.names("upscale") if name.endswith(ending))
    return sorted(int(name) for name in names if name.isdigit())


def _network_factor(parameters: UpscaleParameters, registry: Registry) -> tuple[int, ModelEntry]:
    """Return the smallest upscaler that reaches the factor. Raises UnknownModelError, which lists the factors."""
    plain, wanted = _plain_upscalers(registry), _number(parameters)
    factor = min((factor for factor in plain if factor >= wanted), default=None)
    if factor is not None:
        return factor, plain[factor]
    served = [str(factor) for factor in sorted(plain)]
    between = f", and any number from 1 to {served[-1]}" if served else ""
    raise UnknownModelError(
        f"factor {wanted:g} is not served; served: {', '.join(served) or 'none'}{between}",
        parameter="factor",
        value=f"{wanted:g}",
        expected=served,
    )


def _for_photographs(parameters: UpscaleParameters, registry: Registry) -> ModelEntry:
    """Return the smallest upscaler for photographs that reaches the factor. Raises UnknownModelError."""
    factors, wanted = _factors_of(_PHOTO, registry), _number(parameters)
    for factor in factors:
        if factor >= wanted:
            return registry.entries[f"upscale/x{factor}{_PHOTO}"]
    served = f"up to factor {factors[-1]}" if factors else "for no factor"
    raise UnknownModelError(
        f"source 'photo' is served {served}, and factor is {wanted:g}; expected source=auto or clean",
        parameter="source",
        value="photo",
        expected=["auto", "clean"],
    )


def _number(parameters: UpscaleParameters) -> float:
    """Return the factor, after "max" was replaced."""
    assert not isinstance(parameters.factor, str)
    return parameters.factor


def _plain_upscalers(registry: Registry) -> dict[int, ModelEntry]:
    """Return the upscalers that are faithful to the pixels, by factor."""
    return {int(name): registry.entries[f"upscale/x{name}"] for name in registry.factors()}


def _within(height: int, width: int, max_side: int | None) -> Size:
    longest = max(height, width)
    if max_side is None or longest <= max_side:
        return height, width
    return max(1, round(height * max_side / longest)), max(1, round(width * max_side / longest))


def _stroke(stroke: float | str, height: int, width: int) -> float:
    if not isinstance(stroke, str):
        return stroke
    if height * width <= UNTOUCHED_PIXELS:
        return 1.0
    return min(math.sqrt(height * width / STROKE_PIXELS), LARGEST_STROKE)
