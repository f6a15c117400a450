"""Content images for a training without photographs: the free pictures that scikit-image installs."""

from pathlib import Path

import numpy as np
import skimage
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from trainer.data import read_rgb

_NAMES = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "motorcycle_left.png",
    "rocket.jpg",
)
_LEAST_SHARE = 0.3


def bundled_pictures() -> list[Path]:
    """List the pictures that scikit-image installs, without a download."""
    folder = Path(skimage.__file__).parent / "data"
    return [path for name in _NAMES if (path := folder / name).is_file()]


class VariedCrops(Dataset[Tensor]):
    """uint8 (3, crop, crop): a square of a random picture, strongly varied, because there are only a dozen pictures.

    The square covers 30 to 100 % of the short side. It may be mirrored, its channels may change places, and their
    brightness and gamma vary. The example with index i depends on the seed and on i alone.
    """

    def __init__(self, paths: list[Path], crop_px: int, seed: int, examples: int) -> None:
        self._pictures = [read_rgb(path) for path in paths]
        self._crop_px, self._seed, self._examples = crop_px, seed, examples

    def __len__(self) -> int:
        return self._examples

    def __getitem__(self, index: int) -> Tensor:
        random = np.random.default_rng((self._seed, index))
        picture = self._pictures[int(random.integers(len(self._pictures)))]
        side = min(picture.size) * random.uniform(_LEAST_SHARE, 1.0)
        left, top = random.uniform(0, picture.width - side), random.uniform(0, picture.height - side)
        box = (left, top, left + side, top + side)
        crop = picture.resize((self._crop_px, self._crop_px), Image.Resampling.BICUBIC, box=box)
        values = np.asarray(crop, dtype=np.float32) / 255.0
        if random.random() < 0.5:
            values = values[:, ::-1]
        if random.random() < 0.5:
            values = values[..., random.permutation(3)]
        values = random.uniform(0.6, 1.0, 3) * values ** random.uniform(0.6, 1.6)
        return torch.from_numpy(np.round(255.0 * values).astype(np.uint8).transpose(2, 0, 1).copy())
