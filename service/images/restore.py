"""From outputs of the networks to images for the client: colours, grey and transparency. Runs on a codec thread."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nets.picture import Picture
from service.images.alpha import enlarged
from service.images.profile import Profile
from service.images.resize import resized
from service.images.types import Decoded, Frame, Plane

Restored = NDArray[np.unsignedinteger]
"""uint8 or uint16 (H, W, C): grey or RGB, with or without alpha as the last channel."""

_FAR_LEVELS = 32
"""If the network has changed a colour by this many levels (of 255), nothing of the original is added to it."""


def restore(decoded: Decoded, answers: list[Picture]) -> list[Restored]:
    """Make one picture per frame. answers: for each frame, in their order, (H, W, 3) of any size."""
    restored = []
    for frame, answer in zip(decoded.frames, answers, strict=True):
        picture = answer if decoded.profile is None else _in_own_colours(decoded, decoded.profile, frame, answer)
        if decoded.grey:
            picture = _mean(picture)[..., None]
        if frame.alpha is not None:
            size = answer.shape[:2]
            alpha = enlarged(frame.alpha, *size) if decoded.enlarging else resized(frame.alpha, *size)
            picture = np.dstack([picture, alpha])
        restored.append(picture)
    return restored


def _in_own_colours(decoded: Decoded, profile: Profile, frame: Frame, answer: Picture) -> Picture:
    """Convert back to the profile, and add what sRGB could not hold where the network has not changed the colour."""
    picture = profile.from_srgb(answer)
    if frame.lost is None:
        return picture
    if decoded.enlarging:
        return _added(picture, resized(frame.lost, *answer.shape[:2]))
    pixels, lost = resized(frame.pixels, *answer.shape[:2]), resized(frame.lost, *answer.shape[:2])
    where = lost.any(axis=2)
    share = _nearness(pixels[where], answer[where])
    picture = picture.copy()
    picture[where] = _added(picture[where], np.rint(share[:, None] * lost[where]))
    return picture


def _added(picture: Picture, values: NDArray[Any]) -> Picture:
    added: Picture = np.clip(picture + values, 0, np.iinfo(picture.dtype).max).astype(picture.dtype)
    return added


def _nearness(pixels: Picture, answer: Picture) -> NDArray[np.float32]:
    """Return 1 for a colour that the network has not changed, falling to 0 for a large change: (N, 3) -> (N,)."""
    far = _FAR_LEVELS * np.iinfo(pixels.dtype).max / 255
    distance = np.maximum(pixels, answer) - np.minimum(pixels, answer)  # unsigned all along
    nearness: NDArray[np.float32] = np.clip(1.0 - distance.max(axis=1) / np.float32(far), 0.0, 1.0)
    return nearness


def _mean(picture: Picture) -> Plane:
    """Average the channels: (H, W, 3) -> (H, W), rounded."""
    total = picture.sum(axis=2, dtype=np.uint32)
    mean: Plane = ((total + 1) // 3).astype(picture.dtype)
    return mean
