"""Colour profiles: conversion from the colours of an image to sRGB, which networks expect, and back."""

import io
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from nets.picture import Picture
from service.images import deep

Space = Literal["RGB", "GRAY", "CMYK"]

_MODES: dict[Space, str] = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_UNUSABLE = (ImageCms.PyCMSError, OSError, ValueError, TypeError, MemoryError)
_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_MOST_BYTES = 4 * 2**20
_DATE = slice(24, 36)
_GRID = np.stack(np.meshgrid(*[np.linspace(0, 255, 9).round().astype(np.uint8)] * 3, indexing="ij"), axis=-1)
_GREYS = np.arange(0, 256, 5, dtype=np.uint8).repeat(3).reshape(1, -1, 3)
_EVEN_LEVELS = 24
"""A gamma of 1.8 differs from sRGB's curve by 19 levels, 2.2 by 8, and linear light by 66."""


@cache
def srgb_icc() -> bytes:
    """Return an sRGB profile, always the same bytes."""
    icc = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    icc[_DATE] = bytes(12)  # creation time
    return bytes(icc)


class Profile:
    """An ICC profile that LittleCMS can use, for images of its colour space.

    is_srgb: whether its values mean the same in sRGB, within one level. reversible: whether sRGB can be converted to
    it. is_even: whether its steps are about as perceptually even as those of sRGB, as in Display P3, Adobe RGB and
    ProPhoto, so that a network for sRGB can enlarge its values directly.
    """

    def __init__(self, icc: bytes, space: Space) -> None:
        """Raises one of many errors if the profile is damaged or for another colour space. Use `parse`."""
        self.icc, self.space = icc, space
        self._profile: Any = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        found = self._profile.profile.xcolor_space.strip()
        if found != space:
            raise ValueError(f"a profile for {found}, not {space}")
        # Black point compensation: black ink becomes black. Greys are converted by an exact table.
        flags = ImageCms.Flags.NOOPTIMIZE if space == "GRAY" else ImageCms.Flags.BLACKPOINTCOMPENSATION
        self._forward = ImageCms.ImageCmsTransform(self._profile, _srgb(), _MODES[space], "RGB", _INTENT, flags=flags)
        self.is_srgb = space == "RGB" and self._moves(_GRID.reshape(9, -1, 3)) <= 1
        self.is_even = space == "RGB" and self._moves(_GREYS) <= _EVEN_LEVELS
        self.reversible = space == "RGB" and self._can_go_back()

    def __reduce__(self) -> tuple[type["Profile"], tuple[bytes, Space]]:
        return Profile, (self.icc, self.space)

    @classmethod
    def parse(cls, icc: bytes, space: Space) -> "Profile | None":
        """Return None if the profile is damaged, larger than 4 MiB, or made for another colour space."""
        if len(icc) > _MOST_BYTES:
            return None
        try:
            return cls(icc, space)
        except _UNUSABLE:
            return None

    def to_srgb(self, pixels: Picture) -> Picture:
        """Convert uint8 or uint16 (H, W, channels) to (H, W, 3) of the same depth. CMYK has 8 bits only.

        Colours outside sRGB are clipped.
        """
        if pixels.dtype == np.uint16:
            return deep.convert(pixels.astype(np.uint16, copy=False), self.icc, None)
        if self.space == "GRAY":
            levels = np.arange(256, dtype=np.uint8).reshape(1, 256, 1)
            table: Picture = _applied(self._forward, levels, "L")[0][pixels[..., 0]]
            return table
        return _applied(self._forward, pixels, _MODES[self.space])

    def from_srgb(self, pixels: Picture) -> Picture:
        """Convert uint8 or uint16 (H, W, 3) back. The profile must be `reversible`."""
        if pixels.dtype == np.uint16:
            return deep.convert(pixels.astype(np.uint16, copy=False), None, self.icc)
        return _applied(self._backward(), pixels, "RGB")

    def lost(self, pixels: Picture, srgb: Picture) -> NDArray[np.signedinteger] | None:
        """Return the difference, (H, W, 3), between `pixels` and the round trip from `srgb`; None if there is none.

        A difference of one 8-bit level is rounding and is ignored.
        """
        kind, level = (np.int16, 1) if pixels.dtype == np.uint8 else (np.int32, 0)
        difference = np.subtract(pixels, self.from_srgb(srgb), dtype=kind)
        difference[np.abs(difference) <= level] = 0
        return difference if difference.any() else None

    def _backward(self) -> ImageCms.ImageCmsTransform:
        return ImageCms.ImageCmsTransform(_srgb(), self._profile, "RGB", "RGB", _INTENT)

    def _can_go_back(self) -> bool:
        try:
            self.from_srgb(_GRID[0])
        except _UNUSABLE:
            return False
        return True

    def _moves(self, colours: NDArray[np.uint8]) -> int:
        """Return the largest difference between these values, (H, W, 3), and their sRGB values."""
        return int(np.abs(self.to_srgb(colours).astype(int) - colours).max())


def _srgb() -> Any:
    return ImageCms.ImageCmsProfile(io.BytesIO(srgb_icc()))


def _applied(transform: ImageCms.ImageCmsTransform, pixels: Picture, mode: str) -> NDArray[np.uint8]:
    channels = pixels[..., 0] if mode == "L" else pixels
    image = Image.frombuffer(mode, (pixels.shape[1], pixels.shape[0]), np.ascontiguousarray(channels).tobytes())
    return np.asarray(transform.apply(image))
