"""Photographs from folders, as training crops and as pairs of low and high resolution.

The example with index i depends only on the seed and i. A run that resumes at iteration k therefore sees the same
examples as without the interruption, with any number of workers or processes.
"""

import hashlib
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nets.spool import LEAST_PAINTING_PX, LONGEST_PAINTING
from trainer.degradation import Degradations, degrade, draw
from trainer.errors import TrainerError
from trainer.pictures import read_rgb

__all__ = [
    "ContentCrops",
    "Photographs",
    "ResolutionPairs",
    "batches",
    "count_skipped",
    "digest_of",
    "list_photographs",
    "read_painting",
    "read_rgb",
    "read_style_image",
    "reduce",
    "to_floats",
]

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
_DECODED_BYTES = 2**30
_BORDER_LOW_RES_PX = 4

Example = TypeVar("Example")


def list_photographs(folders: Sequence[Path]) -> list[Path]:
    """List the image files below each folder, sorted. Raises TrainerError for a folder without any."""
    photographs: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise TrainerError(f"--data {folder}: not a folder")
        named = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        found = sorted(path for path in named if path.is_file())  # a link may be broken
        if not found:
            raise TrainerError(f"--data {folder}: no image below it ({', '.join(sorted(SUFFIXES))})")
        photographs += found
    return photographs


def digest_of(photographs: Sequence[Path]) -> str:
    """Return the SHA-256 of the names and sizes of photographs, in hexadecimal. It identifies a training set."""
    listing = "".join(f"{path.name} {path.stat().st_size}\n" for path in photographs)
    return hashlib.sha256(listing.encode()).hexdigest()


def read_style_image(path: Path, short_side_px: int) -> Tensor:
    """Read a style image, its short side reduced to `short_side_px`: float32 (1, 3, H, W) in [0, 1]."""
    return _with_short_side(read_rgb(path), short_side_px)


def read_painting(path: Path, short_side_px: int) -> Tensor:
    """A painting to learn from, reduced to `short_side_px` but never enlarged: float32 (1, 3, H, W) in [0, 1].

    Raises TrainerError for one that is too small, or much longer than wide.
    """
    image = read_rgb(path)
    short, long = sorted(image.size)
    if short < LEAST_PAINTING_PX or long > LONGEST_PAINTING * short:
        raise TrainerError(
            f"{path}: {image.width} x {image.height} pixels; expected at least {LEAST_PAINTING_PX} on each side, "
            f"and a longer side of at most {LONGEST_PAINTING} times the shorter: crop it, or use a larger copy"
        )
    return _with_short_side(image, min(short_side_px, short))


def _with_short_side(image: Image.Image, short_side_px: int) -> Tensor:
    scale = short_side_px / min(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return _tensor(image.resize(size, Image.Resampling.LANCZOS)).unsqueeze(0).float() / 255


class Photographs:
    """Photographs by index. An unreadable one is replaced by the next. The first gigabyte stays decoded.

    Each process appends the photographs that it skips to the file `skipped`, one per line (`count_skipped`).
    """

    def __init__(self, paths: Sequence[Path], skipped: Path | None = None) -> None:
        self.paths = list(paths)
        self._skipped = skipped
        self._broken: set[int] = set()
        self._decoded: dict[int, Image.Image] = {}
        self._bytes = 0

    def read(self, number: int) -> Image.Image:
        """Read photograph `number` as 8-bit RGB. Raises TrainerError if no photograph can be read."""
        if number not in self._decoded:
            image = self._read(number)
            self._bytes += 3 * image.width * image.height
            if self._bytes > _DECODED_BYTES:
                return image
            self._decoded[number] = image
        return self._decoded[number]

    def _read(self, number: int) -> Image.Image:
        for step in range(len(self.paths)):
            candidate = (number + step) % len(self.paths)
            if candidate in self._broken:
                continue
            try:
                return read_rgb(self.paths[candidate])
            except TrainerError as error:
                self._broken.add(candidate)
                self._note(str(error))
        raise TrainerError(f"none of the {len(self.paths)} photographs can be read, {self.paths[0]} for one")

    def _note(self, reason: str) -> None:
        if self._skipped is not None:
            with self._skipped.open("a", encoding="utf-8") as file:
                file.write(" ".join(reason.split()) + "\n")


def count_skipped(skipped: Path) -> int:
    """Count the photographs in the file that `Photographs` writes. Several processes may list the same one."""
    return len(set(skipped.read_text(encoding="utf-8").splitlines())) if skipped.exists() else 0


class ContentCrops(Dataset[Tensor]):
    """uint8 (3, crop, crop): a random square of a random photograph, reduced by 1 to `max_scale`, perhaps mirrored."""

    def __init__(self, photographs: Photographs, crop_px: int, max_scale: float, seed: int, examples: int) -> None:
        self.photographs = photographs
        self.crop_px, self.max_scale, self.seed, self.examples = crop_px, max_scale, seed, examples

    def __len__(self) -> int:
        return self.examples

    def __getitem__(self, index: int) -> Tensor:
        random = np.random.default_rng((self.seed, index))
        image = self.photographs.read(int(random.integers(len(self.photographs.paths))))
        side = min(self.crop_px * random.uniform(1.0, self.max_scale), *image.size)
        left, top = random.uniform(0, image.width - side), random.uniform(0, image.height - side)
        box = (left, top, left + side, top + side)
        crop = image.resize((self.crop_px, self.crop_px), Image.Resampling.BICUBIC, box=box)
        return _tensor(crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else crop)


class ResolutionPairs(Dataset[tuple[Tensor, Tensor]]):
    """(uint8 (3, p, p), uint8 (3, f p, f p)): a patch at low resolution and the same at high resolution.

    The low resolution is Pillow's antialiased bicubic of the high one, after a Gaussian blur where `blur_sigma` > 0; or
    what `degradations` make of it.
    """

    def __init__(
        self,
        photographs: Photographs,
        low_res_px: int,
        factor: int,
        blur_sigma: float,
        augment: bool,
        seed: int,
        examples: int,
        degradations: Degradations | None = None,
    ) -> None:
        self.photographs = photographs
        self.low_res_px, self.factor, self.blur_sigma = low_res_px, factor, blur_sigma
        self.degradations = degradations
        self.augment, self.seed, self.examples = augment, seed, examples

    def __len__(self) -> int:
        return self.examples

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        random = np.random.default_rng((self.seed, index))
        image = self.photographs.read(int(random.integers(len(self.photographs.paths))))
        # Reduce with a border and cut it off, because the filter sees less near an edge.
        border, f = _BORDER_LOW_RES_PX, self.factor
        low_side = self.low_res_px + 2 * border
        if min(image.size) < low_side * f:
            scale = low_side * f / min(image.size)
            enlarged = (max(low_side * f, round(image.width * scale)), max(low_side * f, round(image.height * scale)))
            image = image.resize(enlarged, Image.Resampling.BICUBIC)
        left = int(random.integers(image.width - low_side * f + 1))
        top = int(random.integers(image.height - low_side * f + 1))
        high = image.crop((left, top, left + low_side * f, top + low_side * f))
        if self.augment:
            high = _turn(high, int(random.integers(8)))
        if self.degradations is None:
            low = reduce(high, f, self.blur_sigma)
        else:
            low = degrade(high, f, draw(self.degradations, random), random)
        inner = (border, border, low_side - border, low_side - border)
        return _tensor(low.crop(inner)), _tensor(high.crop(tuple(side * f for side in inner)))  # type: ignore[arg-type]


def reduce(image: Image.Image, factor: int, blur_sigma: float = 0.0) -> Image.Image:
    """Reduce each side by `factor` with antialiased bicubic, after a Gaussian blur where `blur_sigma` > 0."""
    blurred = image.filter(ImageFilter.GaussianBlur(blur_sigma)) if blur_sigma > 0 else image
    return blurred.resize((image.width // factor, image.height // factor), Image.Resampling.BICUBIC)


def batches(
    dataset: Dataset[Example], order: Sequence[int], batch: int, workers: int, device: torch.device
) -> DataLoader[Example]:
    """Load the examples of these indices, in this order, in batches, decoded in advance by `workers` processes."""
    return DataLoader(
        dataset,
        batch_size=batch,
        sampler=order,
        num_workers=workers,
        worker_init_fn=_ignore_interrupt,
        prefetch_factor=4 if workers else None,
        pin_memory=device.type == "cuda",
    )


def _ignore_interrupt(_: int) -> None:
    """Ignore Ctrl-C in a worker, because the training process still needs it in order to save."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def to_floats(pictures: Tensor, device: torch.device) -> Tensor:
    """Convert uint8 (N, 3, H, W) to float32 (N, 3, H, W) in [0, 1], channels_last, on `device`."""
    moved = pictures.to(device, non_blocking=True)
    return moved.float().div_(255.0).contiguous(memory_format=torch.channels_last)


def _turn(image: Image.Image, which: int) -> Image.Image:
    """Return one of the eight rotations and reflections of a square."""
    if which & 1:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if which & 2:
        image = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return image.transpose(Image.Transpose.TRANSPOSE) if which & 4 else image


def _tensor(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
