"""A wrong picture is caught, whatever is wrong with it."""

import numpy as np
from answers import Judge
from load import Sample

from tests.conftest import encoded, picture

EXPECTED = [picture(seed=0), picture(seed=1)[:, ::-1].copy()]


def jpeg(pixels: np.ndarray) -> bytes:
    return encoded(pixels, "jpeg", quality=75)


def answer(which: int, body: bytes, status: int = 200) -> Sample:
    return Sample(0.0, 0.1, status, 1.0, {}, which, body)


def judge() -> Judge:
    alone = [answer(which, jpeg(pixels)) for which, pixels in enumerate(EXPECTED)]
    return Judge(EXPECTED, jpeg, tolerance=0.5, alone=alone)


def test_the_right_pictures_are_right():
    verdict = judge().judge([answer(0, jpeg(EXPECTED[0])), answer(1, jpeg(EXPECTED[1]))])
    assert (verdict.judged, verdict.wrong, verdict.unlike_alone, verdict.levels) == (2, 0, 0, 0.0)


def test_another_requests_picture_is_wrong():
    verdict = judge().judge([answer(0, jpeg(EXPECTED[1])), answer(1, jpeg(EXPECTED[1]))])
    assert (verdict.judged, verdict.wrong, verdict.unlike_alone) == (2, 1, 1)
    assert verdict.levels > 10


def test_another_size_and_no_picture_at_all_are_wrong():
    verdict = judge().judge([answer(0, jpeg(EXPECTED[0][:-1])), answer(1, b"no picture")])
    assert (verdict.wrong, verdict.unlike_alone) == (2, 2)


def test_one_bit_is_unlike_alone_but_not_wrong():
    changed = EXPECTED[0].copy()
    changed[:8, :8] = 255 - changed[:8, :8] // 2 - 100
    verdict = judge().judge([answer(0, encoded(changed, "jpeg", quality=75))])
    assert verdict.unlike_alone == 1
    slight = Judge(EXPECTED, jpeg, 50.0, [answer(0, jpeg(EXPECTED[0]))]).judge([answer(0, jpeg(changed))])
    assert (slight.wrong, slight.unlike_alone) == (0, 1)


def test_what_was_not_answered_is_not_judged():
    assert judge().judge([answer(0, b"", 503), answer(1, b"", 0)]).judged == 0
