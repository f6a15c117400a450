"""A photograph in a style that is being learned, kept up to date in a file."""

import io
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from nets.files import replace_file
from nets.style_trunk import StyleTrunkNet
from trainer.content import bundled_pictures
from trainer.data import read_rgb
from trainer.loop.samples import apply

_PHOTOGRAPH = "chelsea"
_SIDE_PX = 384
_SECONDS = 5.0


class Preview:
    """Writes a JPEG to `path`, at most every five seconds. count: how often it was written."""

    def __init__(self, path: Path, count: int = 0) -> None:
        self._path, self.count = path, count
        self._due = 0.0
        image = read_rgb(next(path for path in bundled_pictures() if path.stem == _PHOTOGRAPH))
        image.thumbnail((_SIDE_PX, _SIDE_PX), Image.Resampling.LANCZOS)
        self._photograph = np.array(image)

    def update(self, net: StyleTrunkNet) -> None:
        """Paint the photograph where a new picture is due."""
        if time.monotonic() < self._due:
            return
        jpeg = io.BytesIO()
        Image.fromarray(apply(net, self._photograph, torch.device("cpu"))).save(jpeg, "JPEG", quality=90)
        replace_file(self._path, jpeg.getvalue())
        self.count += 1
        self._due = time.monotonic() + _SECONDS
