from pathlib import Path

import pytest

import trainer
from trainer.config import FamilyRecipe, StyleRecipe, UpscaleRecipe, read_recipe
from trainer.errors import TrainerError

CONFIGS = sorted((Path(trainer.__file__).parent / "configs").rglob("*.toml"))

GOOD = 'name = "tiny"\niterations = 3\nstyle_image = "a.png"\n[loss]\nstyle_weight = 1.0\n'


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_bundled_recipe_can_be_read(path):
    if path.stem == "family":
        assert [style.source for style in read_recipe(path, FamilyRecipe).styles]
        return
    kind = StyleRecipe if "style" in path.read_text() else UpscaleRecipe
    recipe = read_recipe(path, kind)
    assert path.parent.name in {"paper", "rivals"} or recipe.name == path.stem
    assert recipe.license
    assert recipe.source


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("iterations", "itreations"), "itreations = 3: there is no such setting"),
        (GOOD.replace("= 3", "= 0"), "iterations = 0: expected greater than or equal to 1"),
        (GOOD + "[network]\nnorm = 'layer'\n", "network.norm = 'layer'"),
        (GOOD + "[data]\ncrop_px = 'large'\n", "data.crop_px = 'large'"),
        (GOOD + "style_layers = { relu9_9 = 1.0 }\n", "relu9_9"),
        (GOOD.replace("tiny", "../tiny"), "name = '../tiny'"),
        (GOOD + "style_layers = { relu1_2 = -1.0 }\n", "loss.style_layers.relu1_2 = -1.0"),
        (GOOD.replace('style_image = "a.png"', ""), "style_image is missing"),
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


def test_a_recipe_that_is_neutral_to_its_end_needs_no_style_image(tmp_path):
    path = tmp_path / "neutral.toml"
    path.write_text('name = "neutral"\niterations = 3\nneutral_iterations = 3\n')
    assert not read_recipe(path, StyleRecipe).paints


@pytest.mark.parametrize(("name", "accepted"), [("x4", True), ("x4_perceptual", True), ("x2", False), ("x44", False)])
def test_an_upscaler_is_named_by_its_factor(tmp_path, name, accepted):
    path = tmp_path / "upscale.toml"
    path.write_text(f'name = "{name}"\niterations = 3\n')
    if accepted:
        assert read_recipe(path, UpscaleRecipe).name == name
    else:
        with pytest.raises(TrainerError, match="name must be x4 or x4_something"):
            read_recipe(path, UpscaleRecipe)
