"""Training reads pictures by the service's rules."""

import numpy as np
import pytest

from service.images.decode import decode, measure
from service.images.types import DecodeOptions
from tests.conftest import encoded
from tests.rules import COLOUR, REFUSED, RULES
from trainer.data import Photographs, count_skipped, digest_of, list_photographs, read_rgb, read_style_image
from trainer.errors import TrainerError


@pytest.mark.parametrize("rule", RULES)
def test_the_trainer_and_the_service_see_the_same(rule, tmp_path):
    suffix, data, expected = RULES[rule]
    path = tmp_path / f"picture.{suffix}"
    path.write_bytes(data)
    served = decode(data, measure(data, 10**6, 1), DecodeOptions("png", profile="srgb")).frames[0].pixels
    for read in (np.asarray(read_rgb(path)), served):
        assert read.shape == expected.shape
        assert np.abs(read.astype(int) - expected).max() <= 1


def test_a_style_image_is_upright(tmp_path):
    suffix, data, _ = RULES["lying, JPEG"]
    (tmp_path / f"style.{suffix}").write_bytes(data)
    assert tuple(read_style_image(tmp_path / f"style.{suffix}", 24).shape) == (1, 3, 32, 24)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_skipped_with_a_line(name, tmp_path):
    suffix, data = REFUSED[name]
    (tmp_path / f"a.{suffix}").write_bytes(data)
    (tmp_path / "b.png").write_bytes(encoded(COLOUR))
    with pytest.raises(TrainerError, match=f"a.{suffix}"):
        read_rgb(tmp_path / f"a.{suffix}")
    photographs = Photographs(list_photographs([tmp_path]), tmp_path / "skipped.txt")
    assert np.array_equal(np.asarray(photographs.read(0)), COLOUR)
    assert count_skipped(tmp_path / "skipped.txt") == 1


def test_damage_of_any_kind_ends_no_run(tmp_path):
    """Bytes of a TIFF's directory set at random: Pillow raises nearly anything."""
    good, rng = encoded(COLOUR, "tiff"), np.random.default_rng(0)
    path = tmp_path / "a.tif"
    refused = 0
    for _ in range(300):
        data = bytearray(good)
        for at in rng.integers(4, 200, 3):
            data[at] = rng.integers(256)
        path.write_bytes(bytes(data))
        try:
            read_rgb(path)
        except TrainerError:
            refused += 1
    assert refused > 30


def test_a_link_that_leads_nowhere_is_no_photograph(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(COLOUR))
    (tmp_path / "b.jpg").symlink_to(tmp_path / "nowhere.jpg")
    found = list_photographs([tmp_path])
    assert [path.name for path in found] == ["a.png"]
    assert len(digest_of(found)) == 64
