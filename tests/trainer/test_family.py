"""A family through the command line: it learns, resumes as if nothing had happened, and is published and served."""

import json

import pytest
import torch
from typer.testing import CliRunner

from nets.checkpoint import load
from nets.interpolation import interpolate
from nets.pixels import to_network
from nets.trunk import read_trunk
from service.models.registry import load_registry
from tests.conftest import picture
from trainer.commands.main import app
from trainer.commands.options import STYLES_VARIABLE
from trainer.loop.runs import Run
from trainer.recipes.style_family import crops_of

FAMILY = """
name = "tiny"
iterations = {iterations}
neutral_iterations = 2
styles_per_iteration = 2
style_rate = 4.0
precision = "fp32"
save_every = 4
sample_every = 8
[network]
width = 4
residual_blocks = 1
[data]
crop_px = 64
max_scale = 1.2
batch = 1
passes = 2
[loss]
content_layer = "relu2_2"
content_scale = "relative"
style_weight = 1.0
style_layers = {{ relu1_2 = 1.0, relu2_2 = 1.0 }}
half_layers = {{ relu1_2 = 1.0 }}
half_content_layer = "relu1_2"
full_scale_share = 0.5
[optimiser]
learning_rate = 2e-3
warm_up = 2
average = 0.5
clip_norm = 10.0
[[styles]]
name = "checks"
style_image = "{style}"
style_px = 48
license = "CC0-1.0"
source = "made in a test"
[[styles]]
name = "faint"
style_image = "{style}"
style_px = 64
style_weight = 0.5
[[styles]]
name = "neutral"
"""


@pytest.fixture
def family(tmp_path, style_image, photographs, vgg16_file, monkeypatch):
    """Train the family in a folder, to a number of iterations; gives the result of the command."""
    monkeypatch.setenv(STYLES_VARIABLE, str(style_image.parent))

    def train(run, iterations=12, text=FAMILY, more=()):
        config = tmp_path / "family.toml"
        config.write_text(text.format(iterations=iterations, style=style_image.name))
        arguments = ["family", config, "--data", photographs, "--vgg16", vgg16_file, "--run", run, "--workers", 0]
        return CliRunner().invoke(app, [str(argument) for argument in [*arguments, *more]])

    return train


def checkpoint_of(run, name):
    return load(run / "checkpoints" / "stylize" / f"{name}.safetensors")


def test_a_family_is_trained_published_and_served(family, tmp_path):
    result = family(tmp_path / "run", more=["--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert [path.removeprefix(f"{tmp_path}/run/checkpoints/") for path in told["checkpoints"]] == [
        "trunks/tiny.safetensors",
        "stylize/checks.safetensors",
        "stylize/faint.safetensors",
        "stylize/neutral.safetensors",
    ]
    checks, neutral = (checkpoint_of(tmp_path / "run", name) for name in ("checks", "neutral"))
    assert checks.card.license == "CC0-1.0"
    assert checks.card.training["recipe"]["style"]["style_image"]
    assert len(checks.card.training["style_image_sha256"]) == 64
    assert "style_image_sha256" not in neutral.card.training
    assert checks.card.trunk == read_trunk(tmp_path / "run/checkpoints/trunks/tiny.safetensors").reference
    assert not torch.equal(checks.net.up1.norm.weight, neutral.net.up1.norm.weight)

    published = CliRunner().invoke(app, ["publish", str(tmp_path / "run"), "--to", str(tmp_path / "served")])
    assert published.exit_code == 0, published.output
    registry = load_registry(tmp_path / "served")
    assert registry.refused == {}
    assert registry.names("stylize") == ["checks", "faint", "neutral"]
    x = to_network([picture(64, 64)])
    mixed = interpolate([registry.models[f"stylize/{name}"].net for name in ("checks", "neutral")], [0.0, 1.0])
    assert torch.allclose(mixed(x), neutral.net(x), atol=1e-5)


def test_a_run_that_is_resumed_ends_as_one_that_was_not_stopped(family, tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert family(whole).exit_code == 0
    assert family(stopped, iterations=8).exit_code == 0
    assert family(stopped).exit_code == 0
    a, b = (checkpoint_of(run, "faint").net.state_dict() for run in (whole, stopped))
    assert all(torch.allclose(a[name], b[name], atol=2e-3) for name in a)
    assert [line["iteration"] for line in Run(stopped).metrics()][-1] == 12


def test_crops_are_used_again_in_blocks_of_16_iterations():
    first_uses = [crops_of(iteration, 3) for iteration in range(100)]
    assert first_uses[:48] == 3 * list(range(16))
    assert first_uses[48:96] == 3 * list(range(16, 32))
    assert first_uses[96:] == [32, 33, 34, 35]
    assert [crops_of(iteration, 1) for iteration in range(40)] == list(range(40))


def test_a_family_begins_where_its_parent_ended_and_a_new_style_begins_as_their_average(family, tmp_path):
    assert family(tmp_path / "parent").exit_code == 0
    text = FAMILY.replace('name = "faint"', 'name = "new"').replace("learning_rate = 2e-3", "learning_rate = 1e-9")
    text = text.replace("neutral_iterations = 2", "neutral_iterations = 0")
    result = family(tmp_path / "run", 4, text, ["--parent", tmp_path / "parent" / "checkpoints"])
    assert result.exit_code == 0, result.output
    known = [checkpoint_of(tmp_path / "parent", name).net for name in ("checks", "faint", "neutral")]
    assert torch.allclose(checkpoint_of(tmp_path / "run", "checks").net.stem.norm.bias, known[0].stem.norm.bias)
    average = torch.stack([net.stem.norm.bias for net in known]).mean(dim=0)
    assert torch.allclose(checkpoint_of(tmp_path / "run", "new").net.stem.norm.bias, average, atol=1e-5)
    trunk = read_trunk(tmp_path / "parent/checkpoints/trunks/tiny.safetensors")
    assert checkpoint_of(tmp_path / "run", "new").card.training["recipe"]["parent"] == trunk.reference


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('name = "faint"', 'name = "checks"', "two styles are named checks"),
        ('style_image = "{style}"\nstyle_px = 64', 'style_image = "gone.png"', "style image 'gone.png' is not in"),
        ("width = 4", "breadth = 4", "network.breadth"),
        ("full_scale_share = 0.5", "full_scale_share = 0", "full_scale_share"),
    ],
)
def test_a_recipe_that_cannot_be_trained_is_refused_with_the_reason(family, tmp_path, old, new, reason):
    result = family(tmp_path / "run", text=FAMILY.replace(old, new))
    assert result.exit_code != 0
    assert reason in str(result.exception)


def test_a_parent_of_another_architecture_is_refused(family, tmp_path):
    assert family(tmp_path / "parent").exit_code == 0
    text = FAMILY.replace("width = 4", "width = 8")
    result = family(tmp_path / "run", 4, text, ["--parent", tmp_path / "parent" / "checkpoints"])
    assert "parent style checks is StyleTrunkConfig(width=4" in str(result.exception)
    nothing = family(tmp_path / "other", 4, more=["--parent", tmp_path / "empty"])
    assert "no style of trunk tiny" in str(nothing.exception)


def test_a_time_limit_saves_and_publishes_and_the_same_command_goes_on(family, tmp_path):
    result = family(tmp_path / "run", iterations=12, more=["--minutes", 0, "--json"])
    assert result.exit_code == 0, result.output
    assert checkpoint_of(tmp_path / "run", "checks").card.name == "checks"
    assert Run(tmp_path / "run").metrics() == []  # one iteration; every tenth is logged
    assert family(tmp_path / "run").exit_code == 0
    assert Run(tmp_path / "run").metrics()[-1]["iteration"] == 12
