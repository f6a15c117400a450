import pickle
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import picture
from trainer.data import (
    ContentCrops,
    Photographs,
    ResolutionPairs,
    batches,
    count_skipped,
    list_photographs,
    read_painting,
    read_style_image,
    reduce,
)
from trainer.errors import TrainerError

CPU = torch.device("cpu")


def crops(folder, seed=0, examples=12, skipped=None):
    return ContentCrops(Photographs(list_photographs([folder]), skipped), 32, 1.5, seed, examples)


def test_an_example_depends_on_the_seed_and_its_number_alone(photographs):
    first, again, other = crops(photographs), crops(photographs), crops(photographs, seed=1)
    backwards = [again[i] for i in reversed(range(12))]
    assert all(torch.equal(first[i], backwards[11 - i]) for i in range(12))
    assert any(not torch.equal(first[i], other[i]) for i in range(12))


def test_a_resumed_loader_goes_on_where_the_other_stopped(photographs):
    whole = list(batches(crops(photographs), range(12), 3, 0, CPU))
    rest = list(batches(crops(photographs), range(6, 12), 3, 0, CPU))
    assert len(whole) == 4
    assert all(torch.equal(a, b) for a, b in zip(whole[2:], rest, strict=True))
    assert whole[0].shape == (3, 3, 32, 32)
    assert whole[0].dtype == torch.uint8


def test_worker_processes_draw_the_same_examples(photographs):
    alone = list(batches(crops(photographs), range(12), 3, 0, CPU))
    shared = list(batches(crops(photographs), range(12), 3, 2, CPU))
    assert all(torch.equal(a, b) for a, b in zip(alone, shared, strict=True))


def test_a_dataset_can_be_sent_to_another_process(photographs):
    dataset = pickle.loads(pickle.dumps(crops(photographs)))
    assert torch.equal(dataset[3], crops(photographs)[3])


def test_a_photograph_smaller_than_the_crop_is_enlarged(tmp_path):
    Image.fromarray(picture(10, 14)).save(tmp_path / "small.png")
    assert crops(tmp_path)[0].shape == (3, 32, 32)
    pairs = ResolutionPairs(Photographs(list_photographs([tmp_path])), 8, 4, 0.0, True, 0, 4)
    assert [tuple(part.shape) for part in pairs[0]] == [(3, 8, 8), (3, 32, 32)]


@pytest.mark.parametrize("workers", [0, 2])
def test_broken_photographs_are_passed_over_and_counted_once(tmp_path, workers):
    folder, skipped = tmp_path / "photographs", tmp_path / "skipped.txt"
    folder.mkdir()
    whole = tmp_path / "whole.png"
    Image.fromarray(picture(40, 40)).save(whole)
    (folder / "a.jpg").write_bytes(b"not a picture")
    (folder / "b.png").write_bytes(whole.read_bytes()[:-200])
    (folder / "c.png").write_bytes(whole.read_bytes())
    assert count_skipped(skipped) == 0
    examples = list(batches(crops(folder, skipped=skipped), range(12), 1, workers, CPU))
    assert all(example.float().std() > 0 for example in examples)
    assert count_skipped(skipped) == 2
    assert "a.jpg: not a picture" in skipped.read_text()


def test_folders_without_a_usable_photograph_are_named(tmp_path):
    with pytest.raises(TrainerError, match="no image below it"):
        list_photographs([tmp_path])
    with pytest.raises(TrainerError, match="not a folder"):
        list_photographs([tmp_path / "none"])
    (tmp_path / "a.jpg").write_bytes(b"not a picture")
    with pytest.raises(TrainerError, match="none of the 1 photographs can be read"):
        crops(tmp_path)[0]


@pytest.mark.parametrize("augment", [False, True])
def test_the_low_resolution_is_the_high_one_reduced(photographs, augment):
    pairs = ResolutionPairs(Photographs(list_photographs([photographs])), 10, 2, 0.0, augment, 0, 8)
    for index in range(8):
        low, high = (part.permute(1, 2, 0).numpy() for part in pairs[index])
        again = np.array(reduce(Image.fromarray(high), 2))
        inside = np.s_[2:-2, 2:-2]  # near its edge, a patch reduced alone sees less
        assert np.abs(low[inside].astype(int) - again[inside]).max() <= 1


def test_blur_makes_the_reduction_smoother():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    assert np.std(np.array(reduce(image, 2, 1.0))) < 0.8 * np.std(np.array(reduce(image, 2)))


def test_a_style_image_is_reduced_to_its_short_side(tmp_path):
    Image.fromarray(picture(50, 100)).save(tmp_path / "wide.png")
    assert read_style_image(tmp_path / "wide.png", 20).shape == (1, 3, 20, 40)


@pytest.mark.parametrize(
    ("mode", "suffix"), [("RGB", "png"), ("RGBA", "png"), ("L", "png"), ("CMYK", "jpg"), ("I;16", "png")]
)
def test_a_painting_of_any_kind_is_read_in_colour_and_not_enlarged(tmp_path, mode, suffix):
    grey = picture(64, 90)[..., 0]
    image = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(grey).convert(mode)
    path = tmp_path / f"painting.{suffix}"
    image.save(path)
    painting = read_painting(path, 512)
    assert painting.shape == (1, 3, 64, 90)
    assert np.abs(painting[0].permute(1, 2, 0).numpy() * 255 - grey[..., None]).mean() < 6
    assert read_painting(path, 32).shape == (1, 3, 32, 45)


@pytest.mark.parametrize(("height", "width"), [(63, 200), (200, 63), (64, 257)])
def test_a_painting_that_is_too_small_or_too_long_is_refused_with_its_size(tmp_path, height, width):
    Image.fromarray(picture(height, width)).save(tmp_path / "painting.png")
    with pytest.raises(TrainerError, match=f"{width} x {height} pixels; expected at least 64 on each side"):
        read_painting(tmp_path / "painting.png", 512)


def test_a_painting_beyond_the_limit_of_pixels_is_refused_before_it_is_decoded(tmp_path):
    Image.fromarray(picture(64, 64)).save(tmp_path / "painting.png")
    data = bytearray((tmp_path / "painting.png").read_bytes())
    data[16:24] = struct.pack(">II", 20_000, 20_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (tmp_path / "painting.png").write_bytes(data)
    with pytest.raises(TrainerError, match="too large; expected at most 178,956,970 pixels"):
        read_painting(tmp_path / "painting.png", 512)
