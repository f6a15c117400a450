"""The instance norms of a network that is computed band by band: each map's statistics, found or known."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from nets.banded.bands import FeatureMap, Moments, Rows, Statistics, Steps, bands, keep
from nets.layers import InstanceNorm
from nets.picture import Picture


@dataclass(frozen=True)
class Painted:
    """A picture, uint8 or uint16 (H, W, 3), and the statistics of each instance norm on the way, in order."""

    picture: Picture
    statistics: list[Statistics]


class Norms:
    """Gives each map its statistics: its own, or those that are known already."""

    def __init__(self, known: Sequence[Statistics] | None) -> None:
        self.used: list[Statistics] = []
        self.last: FeatureMap
        self._known = None if known is None else iter(known)

    def kept(
        self, source: Rows, band_pixels: int, norm: nn.Module, relu: bool = True, into: FeatureMap | None = None
    ) -> Steps[FeatureMap]:
        """Compute a convolution's output and keep it; it is normalised when it is read."""
        assert isinstance(norm, InstanceNorm)
        own = Moments()

        def take_in(band: Tensor, _top: int, _bottom: int) -> Tensor:
            own.add(band)
            return band

        take = take_in if self._known is None else None
        raw = yield from keep(source, band_pixels, take, into)
        self.used.append(own.statistics() if self._known is None else next(self._known))
        self.last = raw.normalised(norm, self.used[-1], relu)
        return self.last


def settle(view: FeatureMap, shortcut: FeatureMap | None, band_pixels: int) -> Steps[FeatureMap]:
    """Normalise and rectify a map once, in place, instead of at each reading; then add the shortcut."""
    for top, bottom in bands(view.height, 4 * band_pixels // view.width):
        rows = view.read(top, bottom)
        view.values[..., top:bottom, :] = rows if shortcut is None else rows + shortcut.values[..., top:bottom, :]
        yield
    return FeatureMap(view.values)
