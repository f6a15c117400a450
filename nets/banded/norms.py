"""The instance norms of a network that runs in bands: they use computed statistics, or known ones."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from nets.banded.bands import FeatureMap, Moments, Rows, Statistics, Steps, bands, materialize
from nets.layers import InstanceNorm
from nets.picture import Picture


@dataclass(frozen=True)
class Stylized:
    """The output picture, uint8 or uint16 (H, W, 3), and the statistics of each instance norm, in layer order."""

    picture: Picture
    statistics: list[Statistics]


class InstanceNorms:
    """Normalises each map by its own statistics, or by known ones."""

    def __init__(self, known: Sequence[Statistics] | None) -> None:
        self.used: list[Statistics] = []
        self.last: FeatureMap
        self._known = None if known is None else iter(known)

    def materialize(
        self, source: Rows, band_pixels: int, norm: nn.Module, relu: bool = True, into: FeatureMap | None = None
    ) -> Steps[FeatureMap]:
        """Store the output of a convolution. The map that is returned normalises its rows when they are read."""
        assert isinstance(norm, InstanceNorm)
        own = Moments()

        def add_moments(band: Tensor, _top: int, _bottom: int) -> Tensor:
            own.add(band)
            return band

        take = add_moments if self._known is None else None
        raw = yield from materialize(source, band_pixels, take, into)
        self.used.append(own.statistics() if self._known is None else next(self._known))
        self.last = raw.normalised(norm, self.used[-1], relu)
        return self.last


def normalise_in_place(view: FeatureMap, shortcut: FeatureMap | None, band_pixels: int) -> Steps[FeatureMap]:
    """Apply the normalisation of `view` to its memory, once instead of at each read, and add the shortcut."""
    for top, bottom in bands(view.height, 4 * band_pixels // view.width):
        rows = view.read(top, bottom)
        view.values[..., top:bottom, :] = rows if shortcut is None else rows + shortcut.values[..., top:bottom, :]
        yield
    return FeatureMap(view.values)
