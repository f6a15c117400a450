"""What a client asks for, as networks and sizes: which are averaged, which answers are laid over each other, and how
large the picture is on the way. No weights are loaded for it, and nothing is computed.

docs/decisions/0009-parameters.md says why it is these.
"""

import math
from dataclasses import dataclass

from service.errors import UnknownModelError
from service.models.interpolation import Mixture, can_interpolate, group_by_family, make_mixture
from service.models.model import ModelEntry
from service.models.registry import Registry
from service.pipeline.parameters import LARGEST_STROKE, Enlarging, Knobs, Stylizing

NEUTRAL = "stylize/neutral"

UNTOUCHED_PIXELS, STROKE_PIXELS = 1_000_000, 500_000
"""Up to the one, a picture is painted as it is; a larger one as if it had the other: strokes grow with it."""

_PLAIN_ENLARGING = 1.25
"""So far, strokes are enlarged by mere resizing rather than by the next larger network: nobody sees it."""

_LEAST_STYLE = 0.7
"""How much of a style's weights there is in the faintest strength above 0. Less is `neutral`, which greys."""

_SHARE_EXPONENT = 0.85
"""The answer's share over the photograph is strength to this power: the style shows from the beginning."""

Size = tuple[int, int]
"""Height and width in pixels."""


@dataclass(frozen=True)
class Layer:
    """A network, or an average of some, and the share of its answer in the picture; shares sum to 1."""

    mixture: Mixture
    share: float


@dataclass(frozen=True)
class Recipe:
    """How an answer is made. parameter: what a client named the networks by. share: of the layers, over the photograph.

    No layers: the picture itself. enlargers: the networks that may bring back the size that strokes take, by factor.
    """

    knobs: Knobs
    parameter: str
    layers: tuple[Layer, ...]
    share: float
    enlargers: dict[int, ModelEntry]

    @property
    def scale(self) -> int:
        """Output pixels of its networks per input pixel, along a side."""
        return self.layers[0].mixture.scale if self.layers else 1

    @property
    def keeps_colors(self) -> bool:
        """Whether the picture's own colours are put back."""
        return isinstance(self.knobs, Stylizing) and self.knobs.preserve_color

    @property
    def finishes(self) -> bool:
        """Whether the networks' answer is not the answer yet."""
        return self.share < 1 or self.keeps_colors

    @property
    def label(self) -> str:
        """What metrics call it: a model's key, never what a client sent."""
        return self.layers[0].mixture.entries[0].key if self.layers else "none"

    @property
    def identities(self) -> tuple[str, ...]:
        """The networks that the answer may depend on, with their versions."""
        networks = [offer for layer in self.layers for offer in layer.mixture.entries]
        return tuple(offer.identity for offer in (*networks, *self.enlargers.values()))

    def sizes(self, height: int, width: int, most_pixels: int) -> "Sizes":
        """How large the picture is on the way. most_pixels: of any network's answer."""
        if isinstance(self.knobs, Enlarging):
            factor = self.knobs.factor
            answer = max(1, round(height * factor)), max(1, round(width * factor))
            return Sizes((height, width), (height, width), (height, width), answer, None)
        base = _within(height, width, self.knobs.max_side)
        stroke = _stroke(self.knobs.stroke, *base) if self.layers else 1.0
        if stroke == 1:
            return Sizes((height, width), base, base, base, None)
        working = max(1, round(base[0] / stroke)), max(1, round(base[1] / stroke))
        fitting = [factor for factor in sorted(self.enlargers) if working[0] * working[1] * factor**2 <= most_pixels]
        enough = [factor for factor in fitting if factor * _PLAIN_ENLARGING >= stroke] or fitting[-1:]
        return Sizes((height, width), base, working, base, enough[0] if enough else None)


@dataclass(frozen=True)
class Sizes:
    """Of one `picture` on its way: reduced to `base`, then to `working` for the networks; `answer` comes out.

    enlarger: the factor of the network that brings the answer back towards its size; None where there is none.
    """

    picture: Size
    base: Size
    working: Size
    answer: Size
    enlarger: int | None

    def composed_pixels(self, recipe: Recipe) -> int:
        """About how many pixels are resized, laid over each other or coloured: what that costs."""
        return self.extra_pixels(recipe) + (math.prod(self.answer) if recipe.finishes else 0)

    def extra_pixels(self, recipe: Recipe) -> int:
        """Pixels in memory besides the picture as it came and the answer: what is made on the way."""
        steps = ((self.picture, self.base), (self.base, self.working))
        reduced = sum(math.prod(after) for before, after in steps if after != before)
        each = math.prod(self.working) * recipe.scale**2
        several = len(recipe.layers) * each if len(recipe.layers) > 1 else 0
        enlarged = math.prod(self.working) * (self.enlarger or recipe.scale) ** 2
        return (
            reduced
            + several
            + (enlarged if recipe.layers and (recipe.finishes or enlarged != math.prod(self.answer)) else 0)
        )


def resolve(knobs: Knobs, registry: Registry) -> Recipe:
    """Find the networks. Raises UnknownModelError, which lists what is served."""
    if isinstance(knobs, Stylizing):
        return _stylizing(knobs, registry)
    return _enlarging(knobs, registry)


def _stylizing(knobs: Stylizing, registry: Registry) -> Recipe:
    styles = [(registry.find("stylize", name, "style"), share) for name, share in knobs.styles]
    styles = sorted([style for style in styles if style[1]], key=lambda style: (-style[1], style[0].key))
    if not knobs.strength:
        return Recipe(knobs, "style", (), 0.0, {})
    neutral = registry.entries.get(NEUTRAL)
    layers = []
    for family in group_by_family(styles, registry.entries):
        share = sum(share for _, share in family)
        if knobs.strength < 1 and neutral is not None and can_interpolate(family[0][0], neutral, registry.entries):
            style = _LEAST_STYLE + (1 - _LEAST_STYLE) * knobs.strength
            weakened = [*((offer, part * style) for offer, part in family), (neutral, share * (1 - style))]
            layers.append(Layer(make_mixture(weakened), share))
        else:
            layers.append(Layer(make_mixture(family), share))
    enlargers = {} if knobs.stroke == 1 else _plain_upscalers(registry)
    return Recipe(knobs, "style", tuple(layers), knobs.strength**_SHARE_EXPONENT, enlargers)


def _enlarging(knobs: Enlarging, registry: Registry) -> Recipe:
    plain = _plain_upscalers(registry)
    if knobs.factor == 1:
        return Recipe(knobs, "factor", (), 0.0, {})
    factor = min((factor for factor in plain if factor >= knobs.factor), default=None)
    if factor is None:
        served = [str(factor) for factor in sorted(plain)]
        between = f", and any number from 1 to {served[-1]}" if served else ""
        raise UnknownModelError(
            f"factor {knobs.factor:g} is not served; served: {', '.join(served) or 'none'}{between}",
            parameter="factor",
            value=f"{knobs.factor:g}",
            expected=served,
        )
    parts = [(plain[factor], 1 - knobs.detail)]
    if knobs.detail:
        parts.append((registry.find("upscale", f"x{factor}_perceptual", "detail"), knobs.detail))
    groups = group_by_family([part for part in parts if part[1]], registry.entries)
    layers = tuple(Layer(make_mixture(group), sum(share for _, share in group)) for group in groups)
    return Recipe(knobs, "detail" if knobs.detail else "factor", layers, 1.0, {})


def _plain_upscalers(registry: Registry) -> dict[int, ModelEntry]:
    """Those that are faithful to the pixels, by factor."""
    return {int(name): registry.entries[f"upscale/x{name}"] for name in registry.factors()}


def _within(height: int, width: int, max_side: int | None) -> Size:
    longest = max(height, width)
    if max_side is None or longest <= max_side:
        return height, width
    return max(1, round(height * max_side / longest)), max(1, round(width * max_side / longest))


def _stroke(asked: float | None, height: int, width: int) -> float:
    if asked is not None:
        return asked
    if height * width <= UNTOUCHED_PIXELS:
        return 1.0
    return min(math.sqrt(height * width / STROKE_PIXELS), LARGEST_STROKE)
