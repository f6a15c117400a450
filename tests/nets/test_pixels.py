import numpy as np
import pytest
import torch

from nets.pixels import from_network, to_network


def test_every_level_survives_the_round_trip():
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    assert np.array_equal(from_network(to_network([levels]))[0], levels)


def test_layout_and_range():
    pixels = np.zeros((2, 4, 3), np.uint8)
    pixels[1, 2] = [255, 51, 0]
    batch = to_network([pixels, pixels])
    assert batch.shape == (2, 3, 2, 4)
    assert batch.dtype == torch.float32
    assert batch[1, :, 1, 2].tolist() == pytest.approx([1.0, 0.2, 0.0])
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_values_are_rounded_and_clamped_not_truncated():
    values = torch.tensor([-0.3, 0.499 / 255, 0.501 / 255, 254.6 / 255, 7.0, 127.6 / 255])
    expected = [0, 0, 1, 255, 255, 128]
    assert from_network(values.reshape(1, 1, 1, 6).expand(1, 3, 1, 6))[0][0, :, 0].tolist() == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_has_no_colour(value):
    with pytest.raises(ValueError, match="not finite"):
        from_network(torch.full((1, 3, 2, 2), value))


@pytest.mark.parametrize("wrong", [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3)), np.zeros((2, 2, 4), np.uint8)])
def test_other_arrays_are_refused(wrong):
    with pytest.raises(ValueError, match=r"expected uint8 or uint16 \(H, W, 3\)"):
        to_network([wrong])


def test_the_callers_picture_is_not_touched():
    pixels = np.full((3, 3, 3), 7, np.uint8)
    to_network([pixels])
    assert (pixels == 7).all()


def test_a_picture_that_is_not_copied_has_the_same_layout_as_one_that_is():
    picture = np.zeros((6, 10, 3), np.uint8)
    fixed = picture.copy()
    fixed.flags.writeable = False  # which torch does not take as it is
    alone, copied, several = (to_network(pictures) for pictures in ([picture], [fixed], [picture, picture]))
    assert alone.stride() == copied.stride() == several.stride()
