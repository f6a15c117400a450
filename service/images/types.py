"""Results of decoding: pictures for the network, and what is put back into the output."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nets.picture import Picture
from service.images.formats import Format, Source
from service.images.metadata import Metadata
from service.images.profile import Profile

ProfilePolicy = Literal["keep", "srgb"]
MetadataPolicy = Literal["strip", "keep"]
Origin = Literal["photo", "clean"]
"""photo: with traces of compression, which enlarging shall remove. clean: without, every pixel counts."""

Plane = NDArray[np.unsignedinteger]
"""One channel, uint8 or uint16 (H, W), with the depth of its picture."""


Difference = NDArray[np.signedinteger]
"""The difference of two pictures of 8 or of 16 bits."""


@dataclass(frozen=True)
class Header:
    """The header of an image, read before any pixel is decoded.

    frames: number of frames or pages. alpha: whether it may have transparent pixels. bits: per sample.
    lossless: for WebP.
    """

    format: Source
    height: int
    width: int
    frames: int
    animated: bool
    alpha: bool
    bits: int
    lossless: bool = False


@dataclass(frozen=True)
class DecodeOptions:
    """The way an image is decoded. output_format: the format of the output.

    frames: how many to read. enlarging: whether grey and 16 bits are kept, if the output format has them.
    judging: whether to find the origin.
    """

    output_format: Format
    frames: int = 1
    enlarging: bool = False
    profile: ProfilePolicy = "keep"
    metadata: MetadataPolicy = "strip"
    judging: bool = False


@dataclass(frozen=True)
class Frame:
    """A picture for the network, upright RGB in sRGB, and what is put back around the output.

    lost: what sRGB could not hold: int16 or int32 (H, W, 3), in the values of the picture's own profile, or None.
    milliseconds: duration in an animation.
    """

    pixels: Picture
    alpha: Plane | None = None
    lost: Difference | None = None
    milliseconds: float = 0.0


@dataclass(frozen=True)
class Decoded:
    """The frames, one or more, and what holds for all of them.

    grey: whether the output has one channel. profile: the profile that the output is converted back to; None for sRGB.
    icc: the profile to embed. plays: how often an animation runs; 0 means forever.
    declared: response headers that say what was not kept. origin: "clean" also if it was not asked for.
    """

    frames: list[Frame]
    enlarging: bool
    grey: bool
    profile: Profile | None
    icc: bytes | None
    plays: int = 1
    metadata: Metadata | None = None
    declared: Mapping[str, str] = field(default_factory=dict)
    origin: Origin = "clean"
