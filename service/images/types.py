"""What decoding gives: pictures for the network, and what must be put back around its answers."""

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

Plane = NDArray[np.unsignedinteger]
"""One channel, uint8 or uint16 (H, W), of its picture's depth."""


Difference = NDArray[np.signedinteger]
"""Between two pictures of eight bits, or of sixteen."""


@dataclass(frozen=True)
class Header:
    """What a picture says of itself before any pixel is decoded.

    frames: pictures in the file: of an animation, or pages. alpha: whether it may be transparent somewhere.
    bits: of one sample. lossless: whether a WebP is.
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
    """How a picture is decoded. output_format: the format of the output.

    frames: how many of its pictures are read. enlarging: whether grey stays grey, sixteen bits stay sixteen (where the
    output format can hold them), and transparency is the network's work too.
    """

    output_format: Format
    frames: int = 1
    enlarging: bool = False
    profile: ProfilePolicy = "keep"
    metadata: MetadataPolicy = "strip"


@dataclass(frozen=True)
class Frame:
    """A picture as the network gets it, RGB in sRGB, upright, and what goes around it.

    lost: what sRGB could not hold: int16 or int32 (H, W, 3), in the numbers of the picture's own profile; None for
    nothing.
    milliseconds: how long an animation shows it.
    """

    pixels: Picture
    alpha: Plane | None = None
    lost: Difference | None = None
    milliseconds: float = 0.0

    @property
    def alpha_varies(self) -> bool:
        """Whether its transparency is a picture of its own."""
        return self.alpha is not None and bool(self.alpha.min() != self.alpha.max())


@dataclass(frozen=True)
class Decoded:
    """The frames, one or more, and what holds for all of them.

    grey: whether the answer is to be one channel. profile: what the answer's colours are converted back to, or None:
    they stay in sRGB. icc: the profile to embed. plays: how often an animation runs, 0 for ever.
    declared: headers that tell the client what was not, or could not be, kept.
    """

    frames: list[Frame]
    enlarging: bool
    grey: bool
    profile: Profile | None
    icc: bytes | None
    plays: int = 1
    metadata: Metadata | None = None
    declared: Mapping[str, str] = field(default_factory=dict)

    @property
    def pictures(self) -> list[Picture]:
        """What the network has to do: the frames, then (enlarging) the transparency of each that has any, as grey."""
        planes = [frame.alpha for frame in self.frames if self.enlarging and frame.alpha_varies]
        as_grey = [np.repeat(plane[..., None], 3, axis=2) for plane in planes if plane is not None]
        return [frame.pixels for frame in self.frames] + as_grey
