import pickle

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
