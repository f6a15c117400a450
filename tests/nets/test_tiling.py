"""Windows over a picture: whatever the size, the cores cover it once and each has its halo."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nets.tiling import cut, paste, pixels_of_smallest_window, windows

SIZES = st.integers(1, 300)


@settings(deadline=None, max_examples=100)
@given(SIZES, SIZES, st.integers(0, 20), st.integers(1, 20_000), st.sampled_from([1, 4]))
def test_cores_cover_the_picture_once_and_have_their_halo(height, width, halo, most_pixels, multiple_of):
    covered = np.zeros((height, width), int)
    for window in windows(height, width, halo, most_pixels, multiple_of):
        bottom, right = window.core_top + window.core_height, window.core_left + window.core_width
        covered[window.core_top : bottom, window.core_left : right] += 1
        assert 0 <= window.top <= max(0, window.core_top - halo)
        assert 0 <= window.left <= max(0, window.core_left - halo)
        assert min(height, bottom + halo) <= window.top + window.height <= height
        assert min(width, right + halo) <= window.left + window.width <= width
        assert window.top % multiple_of == window.left % multiple_of == 0
    assert (covered == 1).all()


@settings(deadline=None, max_examples=100)
@given(SIZES, SIZES, st.integers(0, 20), st.integers(1, 20_000), st.sampled_from([1, 4]))
def test_windows_are_of_one_size_and_within_the_limit_where_the_halo_leaves_room(
    height, width, halo, most_pixels, step
):
    cut_up = windows(height, width, halo, most_pixels, step)
    assert step > 1 or len({(window.height, window.width) for window in cut_up}) == 1
    if most_pixels >= pixels_of_smallest_window(halo, step):
        assert max(window.pixels for window in cut_up) <= most_pixels
    if height * width <= most_pixels:
        assert len(cut_up) == 1


def test_a_limit_that_the_halo_exceeds_does_not_make_a_window_of_every_pixel():
    cut_up = windows(600, 600, halo=109, most_pixels=4096)
    assert len(cut_up) == 11 * 11  # cores of 54 pixels, half the halo
    assert max(window.pixels for window in cut_up) <= pixels_of_smallest_window(109)


def test_windows_of_a_picture_worked_out_by_hand():
    # 10 x 4 in two: cores of five rows, and two rows of halo where there are any.
    one, other = windows(10, 4, halo=2, most_pixels=36)
    assert (one.top, one.height, one.core_top, one.core_height) == (0, 9, 0, 5)
    assert (other.top, other.height, other.core_top, other.core_height) == (1, 9, 5, 5)
    assert (one.left, one.width, one.core_width) == (other.left, other.width, other.core_width) == (0, 4, 4)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 5), st.integers(1, 900), st.sampled_from([1, 2]))
def test_what_is_cut_and_pasted_is_the_picture_again(height, width, halo, most_pixels, scale):
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    whole = np.zeros((height * scale, width * scale, 3), np.uint8)
    for window in windows(height, width, halo, most_pixels):
        paste(cut(picture, window).repeat(scale, 0).repeat(scale, 1), window, scale, whole)
    assert np.array_equal(whole, picture.repeat(scale, 0).repeat(scale, 1))


@pytest.mark.parametrize("arguments", [(0, 5, 1, 9), (5, 0, 1, 9), (5, 5, -1, 9)])
def test_what_cannot_be_cut_is_refused(arguments):
    with pytest.raises(ValueError, match="cannot cut"):
        windows(*arguments)
