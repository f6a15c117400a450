"""Correctness of responses: each is compared with the image computed alone."""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from load import Sample
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Verdict:
    """The verdict on successful responses.

    It counts responses that were judged, wrong ones (too far from the expected image, of another size, or no image),
    and those that differ in any bit from the response to the same request sent alone. It gives the largest mean
    difference from the expected image, in 8-bit levels.
    """

    judged: int
    wrong: int
    unlike_alone: int
    levels: float


class Judge:
    """Compares responses with the output of the network in fp32, computed alone.

    expected: (H, W, 3), one for each request. through: encodes and decodes an image as the server does, so that a JPEG
    is compared with a JPEG. tolerance: the mean difference, in 8-bit levels, that the precision explains.
    """

    def __init__(
        self, expected: Sequence[Pixels], through: Callable[[Pixels], bytes], tolerance: float, alone: list[Sample]
    ) -> None:
        self._expected = [_decoded(through(picture)) for picture in expected]
        self._tolerance = tolerance
        self._alone = {s.which: _decoded(s.answer) for s in alone if s.status == 200}
        self._known: dict[tuple[int, bytes], tuple[bool, bool, float]] = {}

    def judge(self, samples: Sequence[Sample]) -> Verdict:
        """Judge these samples."""
        found = [self._of(sample) for sample in samples if sample.status == 200]
        levels = [level for _, _, level in found if np.isfinite(level)]
        return Verdict(
            judged=len(found),
            wrong=sum(wrong for wrong, _, _ in found),
            unlike_alone=sum(unlike for _, unlike, _ in found),
            levels=max(levels, default=float("nan")),
        )

    def _of(self, sample: Sample) -> tuple[bool, bool, float]:
        key = (sample.which, hashlib.sha256(sample.answer).digest())
        if key not in self._known:
            self._known[key] = self._compare(sample)
        return self._known[key]

    def _compare(self, sample: Sample) -> tuple[bool, bool, float]:
        picture, expected = _decoded(sample.answer), self._expected[sample.which]
        alone = self._alone.get(sample.which)
        unlike = alone is not None and (picture is None or not np.array_equal(picture, alone))
        if picture is None or expected is None or picture.shape != expected.shape:
            return True, unlike, float("inf")
        level = float(np.abs(picture.astype(np.int16) - expected).mean())
        return level > self._tolerance, unlike, level


def _decoded(data: bytes) -> Pixels | None:
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except OSError:
        return None
