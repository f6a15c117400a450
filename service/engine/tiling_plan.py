"""How the picture of a task is divided into windows, and the limits that decide it."""

from collections.abc import Callable
from dataclasses import dataclass

from nets.architecture import Facts
from nets.banded.style import SMALLEST_SIDE_PX
from nets.tiling import Window, pixels_of_smallest_window, windows
from service.errors import InferenceError

_MIN_PIXELS, _NO_LIMIT = 2**14, 2**62
_STYLE_STEP_PX = 4  # two convolutions of stride 2


@dataclass(frozen=True)
class TilingPlan:
    """The windows of a picture. reduced: a reduced copy of the picture first yields the instance norm statistics."""

    windows: list[Window]
    reduced: bool = False

    @property
    def pixels(self) -> int:
        """Input pixels that are computed, halos included."""
        return sum(window.pixels for window in self.windows)


class TilingLimits:
    """The most pixels per pass. They are halved after the device runs out of memory. All threads read them."""

    def __init__(self, whole_pixels: int, tile_pixels: int, on_halved: Callable[[], None] = lambda: None) -> None:
        """whole_pixels: of a picture that must run whole. tile_pixels: of a tile. on_halved: called at each halving."""
        self.whole_pixels, self.tile_pixels = whole_pixels, tile_pixels
        self.batch_pixels = _NO_LIMIT
        self._on_halved = on_halved

    def plan(self, facts: Facts, height: int, width: int) -> TilingPlan:
        """Divide a picture of height x width pixels for a network."""
        halo, step = _halo_and_step(facts)
        if facts.halo is not None:
            return TilingPlan(windows(height, width, halo, self.tile_pixels, step))
        if height * width <= self.whole_pixels or not facts.approximable:
            return TilingPlan(windows(height, width, 0, height * width))
        tile_pixels = max(min(self.tile_pixels, self.whole_pixels), pixels_of_smallest_window(halo, step))
        return TilingPlan(windows(height, width, halo, tile_pixels, step), reduced=True)

    def reduced_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width of the reduced copy of a picture that is larger than may run whole."""
        share = (self.whole_pixels / (height * width)) ** 0.5
        return round(height * share), round(width * share)

    def max_pixels(self, facts: Facts, height: int, width: int) -> int | None:
        """Return the most pixels of a picture for a network; None if it can be tiled and has no limit.

        A picture of height x width whose reduced copy would be too narrow for the network must run whole.
        """
        if facts.halo is not None:
            return None
        tileable = facts.approximable and min(self.reduced_size(height, width)) >= SMALLEST_SIDE_PX
        return None if tileable else self.whole_pixels

    def halve(self, facts: Facts, pixels: int) -> None:
        """Reduce the limits after a pass over `pixels` of a tile or a reduced copy ran out of memory.

        Raises InferenceError if the network cannot be tiled or the pass was too small to divide.
        """
        self._on_halved()
        smallest = max(_MIN_PIXELS, pixels_of_smallest_window(*_halo_and_step(facts)))
        if pixels <= smallest or (facts.halo is None and not facts.approximable):
            raise InferenceError(f"the device has not enough memory for {pixels} pixels")
        if facts.halo is None:
            self.whole_pixels = min(self.whole_pixels, pixels // 2)
        self.tile_pixels = min(self.tile_pixels, max(smallest, pixels // 2))

    def halve_batches(self, pixels: int) -> None:
        """Reduce the batch limit after a batch of `pixels` ran out of memory."""
        self._on_halved()
        self.batch_pixels = min(self.batch_pixels, pixels // 2)


def _halo_and_step(facts: Facts) -> tuple[int, int]:
    """Return the halo of a tile, and the step of which its corners are multiples, in pixels.

    The halo of a style is at least half the smallest side that its network can take.
    """
    halo = max(facts.radius, SMALLEST_SIDE_PX // 2) if facts.halo is None else facts.halo
    return halo, 1 if facts.scale > 1 else _STYLE_STEP_PX
