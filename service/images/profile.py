"""Colour profiles: from a picture's own colours to sRGB, where networks are at home, and back."""

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
"""A gamma of 1.8 is 19 levels from sRGB's curve, 2.2 is 8, none at all (linear light) is 66."""


@cache
def srgb_icc() -> bytes:
    """An sRGB profile, always the same bytes."""
    icc = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    icc[_DATE] = bytes(12)  # when it was made
    return bytes(icc)


class Profile:
    """An ICC profile that LittleCMS understands, for pictures of its colour space.

    is_srgb: whether sRGB's numbers mean the same in it, to within a level. reversible: whether sRGB can be converted
    to it. is_even: whether its steps are about as even to the eye as sRGB's, as those of Display P3, Adobe RGB and
    ProPhoto are, so that a network for sRGB can enlarge the numbers as they are.
    """

    def __init__(self, icc: bytes, space: Space) -> None:
        """Raises one of many errors where it is damaged, or for other pictures. Use `parse`."""
        self.icc, self.space = icc, space
        self._profile: Any = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        found = self._profile.profile.xcolor_space.strip()
        if found != space:
            raise ValueError(f"a profile for {found}, not {space}")
        # Black becomes black, though inks do not reach the screen's; and a table for grey is worth doing exactly.
        flags = ImageCms.Flags.NOOPTIMIZE if space == "GRAY" else ImageCms.Flags.BLACKPOINTCOMPENSATION
        self._forward = ImageCms.ImageCmsTransform(self._profile, _srgb(), _MODES[space], "RGB", _INTENT, flags=flags)
        self.is_srgb = space == "RGB" and self._moves(_GRID.reshape(9, -1, 3)) <= 1
        self.is_even = space == "RGB" and self._moves(_GREYS) <= _EVEN_LEVELS
        self.reversible = space == "RGB" and self._can_go_back()

    def __reduce__(self) -> tuple[type["Profile"], tuple[bytes, Space]]:
        return Profile, (self.icc, self.space)

    @classmethod
    def parse(cls, icc: bytes, space: Space) -> "Profile | None":
        """None where it is damaged, larger than 4 MiB, or made for another colour space."""
        if len(icc) > _MOST_BYTES:
            return None
        try:
            return cls(icc, space)
        except _UNUSABLE:
            return None

    def to_srgb(self, pixels: Picture) -> Picture:
        """uint8 or uint16 (H, W, channels of the space) -> (H, W, 3) of the same depth. CMYK is uint8 alone.

        What is outside sRGB is clipped.
        """
        if pixels.dtype == np.uint16:
            return deep.convert(pixels.astype(np.uint16, copy=False), self.icc, None)
        if self.space == "GRAY":
            levels = np.arange(256, dtype=np.uint8).reshape(1, 256, 1)
            table: Picture = _applied(self._forward, levels, "L")[0][pixels[..., 0]]
            return table
        return _applied(self._forward, pixels, _MODES[self.space])

    def from_srgb(self, pixels: Picture) -> Picture:
        """The way back: uint8 or uint16 (H, W, 3) -> the same, for a `reversible` profile."""
        if pixels.dtype == np.uint16:
            return deep.convert(pixels.astype(np.uint16, copy=False), None, self.icc)
        return _applied(self._backward(), pixels, "RGB")

    def lost(self, pixels: Picture, srgb: Picture) -> NDArray[np.signedinteger] | None:
        """What of `pixels` does not come back from `srgb`: the difference, (H, W, 3); None where there is none.

        One level of eight bits is what rounding does, and is left.
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
        """The furthest that sRGB's numbers for some colours, (H, W, 3), are from its own."""
        return int(np.abs(self.to_srgb(colours).astype(int) - colours).max())


def _srgb() -> Any:
    return ImageCms.ImageCmsProfile(io.BytesIO(srgb_icc()))


def _applied(transform: ImageCms.ImageCmsTransform, pixels: Picture, mode: str) -> NDArray[np.uint8]:
    channels = pixels[..., 0] if mode == "L" else pixels
    image = Image.frombuffer(mode, (pixels.shape[1], pixels.shape[0]), np.ascontiguousarray(channels).tobytes())
    return np.asarray(transform.apply(image))
