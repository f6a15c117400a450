from pathlib import Path

import pytest

import trainer
from trainer.config import StyleRecipe, UpscaleRecipe, read_recipe
from trainer.errors import TrainerError

CONFIGS = sorted((Path(trainer.__file__).parent / "configs").glob("*.toml"))

GOOD = 'name = "tiny"\niterations = 3\nstyle_image = "a.png"\n[loss]\nstyle_weight = 1.0\n'


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_bundled_recipe_can_be_read(path):
    kind = UpscaleRecipe if path.stem.startswith("x") else StyleRecipe
    assert read_recipe(path, kind).name == path.stem


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("iterations", "itreations"), "itreations = 3: Extra inputs are not permitted"),
        (GOOD.replace("= 3", "= 0"), "iterations = 0: Input should be greater than or equal to 1"),
        (GOOD + "[network]\nnorm = 'layer'\n", "network.norm = 'layer'"),
        (GOOD + "[data]\ncrop_px = 'large'\n", "data.crop_px = 'large'"),
        (GOOD + "style_layers = { relu9_9 = 1.0 }\n", "relu9_9"),
        (GOOD.replace("tiny", "../tiny"), "name = '../tiny'"),
        (GOOD + "style_layers = { relu1_2 = -1.0 }\n", "loss.style_layers.relu1_2 = -1.0"),
        ("name = ", "not TOML"),
    ],
)
def test_a_wrong_recipe_names_the_file_the_key_and_the_value(tmp_path, text, message):
    path = tmp_path / "tiny.toml"
    path.write_text(text)
    with pytest.raises(TrainerError) as caught:
        read_recipe(path, StyleRecipe)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_a_missing_recipe_is_named(tmp_path):
    with pytest.raises(TrainerError, match=r"none\.toml: cannot be read"):
        read_recipe(tmp_path / "none.toml", StyleRecipe)
