"""A painting is fitted to a trunk through the command line: published, watched, stopped and resumed, refused."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from nets.checkpoint import load
from nets.pixels import to_network
from service.models.registry import load_registry
from tests.conftest import picture
from tests.nets.test_trunk import save_family
from trainer.commands.main import app
from trainer.errors import TrainerError
from trainer.evaluation.style_check import check_style, refuse_faults
from trainer.evaluation.style_distance import StyleDistance
from trainer.objective.loss_network import load_loss_network


@pytest.fixture
def repository(tmp_path):
    save_family(tmp_path / "repository")
    return tmp_path / "repository"


LOSS = """
name = "tiny"
iterations = 1
[loss]
content_layer = "relu1_2"
style_layers = { relu1_2 = 1.0 }
[[styles]]
name = "checks"
"""


@pytest.fixture
def arguments(style_image, repository, vgg16_file, tmp_path):
    """The arguments of a fit by name, in order; the painting has none."""
    (tmp_path / "tiny.toml").write_text(LOSS)
    return {
        "--config": tmp_path / "tiny.toml",
        "": style_image,
        "--name": "mine",
        "--to": repository,
        "--trunk": "tiny",
        "--vgg16": vgg16_file,
        "--minutes": 0.05,
    }


def command(arguments, *more):
    pairs = [part for name, value in arguments.items() for part in (name, value) if part != ""]
    return [str(part) for part in ["fit", *pairs, *more]]


def fit(arguments, *more):
    return CliRunner().invoke(app, command(arguments, *more))


def test_a_painting_is_fitted_to_a_trunk_which_stays_as_it_is(arguments, repository):
    before = (repository / "trunks/tiny.safetensors").read_bytes()
    result = fit(arguments, "--json", "--no-check", "--license", "CC-BY-4.0", "--source", "me, today")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["start"] in {"checks", "dots"}
    assert told["iterations"] >= 1
    assert (repository / "trunks/tiny.safetensors").read_bytes() == before
    mine, known = (load(repository / f"stylize/{name}.safetensors") for name in ("mine", told["start"]))
    assert (mine.card.license, mine.card.source, mine.card.trunk) == ("CC-BY-4.0", "me, today", known.card.trunk)
    assert mine.net.stem.conv.conv.weight.data_ptr() == known.net.stem.conv.conv.weight.data_ptr()
    assert not torch.equal(mine.net.up2.norm.weight, known.net.up2.norm.weight)
    assert load_registry(repository).names("stylize") == ["checks", "dots", "mine"]


def test_photographs_of_ones_own_are_used(arguments, photographs, repository):
    result = fit(arguments, "--no-check", "--data", photographs)
    assert result.exit_code == 0, result.output
    assert load(repository / "stylize/mine.safetensors").card.training["photographs"] == [photographs.name]


def test_a_preview_shows_a_photograph_in_the_style_so_far(arguments, tmp_path):
    preview = tmp_path / "preview.jpg"
    assert fit(arguments, "--no-check", "--json", "--preview", preview).exit_code == 0
    with Image.open(preview) as image:
        assert image.format == "JPEG"
        assert max(image.size) == 384


def test_a_fit_that_is_killed_goes_on_from_its_state(arguments, repository, tmp_path):
    state = tmp_path / "state.pt"
    arguments |= {"--minutes": 5, "--state": state}
    process = subprocess.Popen([sys.executable, "-m", "trainer", *command(arguments, "--no-check")])
    while not state.exists():
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (repository / "stylize/mine.safetensors").exists()
    saved = torch.load(state, weights_only=True)
    arguments["--minutes"] = (saved["seconds"] + 2) / 60
    result = fit(arguments, "--no-check", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["iterations"] > len(saved["totals"])
    assert json.loads(result.stdout)["start"] == saved["start"]


def painting(path, pixels):
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"--name": "checks"}, "has a style of that name"),
        ({"--name": "My Painting"}, "expected lower-case letters"),
        ({"--trunk": "other"}, "no style of trunk other"),
        ({"": np.full((80, 80, 3), 99, np.uint8)}, "nearly one colour"),
        ({"": picture(40, 90)}, "90 x 40 pixels; expected at least 64"),
    ],
)
def test_a_fit_is_refused_before_anything_is_computed(arguments, tmp_path, changed, reason):
    if "" in changed:
        changed = {"": painting(tmp_path / "painting.png", changed[""])}
    result = fit(arguments | changed)
    assert result.exit_code != 0
    assert reason in str(result.exception)


def test_a_file_that_is_no_picture_is_refused(arguments, tmp_path):
    text = tmp_path / "notes.jpg"
    text.write_text("not a painting")
    assert "not a picture" in str(fit(arguments | {"": text}).exception)


def test_a_style_is_checked_before_it_is_published(repository, vgg16_file):
    network = load_loss_network(vgg16_file)
    dots, grey = (load(repository / "stylize/dots.safetensors").net for _ in range(2))
    with torch.no_grad():
        grey.output.weight.zero_()
        painting = dots(to_network([picture(300, 300)])).clamp(0, 1)
    with pytest.raises(TrainerError, match="shows a grid"):  # nearer than grey, but it was never trained
        check_style(dots, {"grey": grey}, painting, network)
    with pytest.raises(TrainerError, match="no nearer to the painting than the average style"):
        check_style(grey, {"dots": dots}, painting, network)


def measured(relu3_3, relu4_2, contrast=1.0, grid2=1.0, grid4=1.0):
    return StyleDistance("mean", {"relu3_3": relu3_3, "relu4_2": relu4_2}, {}, contrast, grid2, grid4)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (measured(0.6, 0.9), r"no nearer to the painting than the average style \(0.750, 0.700\)"),
        (
            measured(0.3, 0.5, contrast=0.19),
            r"loses the light of photographs \(contrast 0.19, expected at least 0.20\)",
        ),
        (measured(0.3, 0.5, grid2=1.4), r"shows a grid \(1.40, 1.00\)"),
        (measured(0.3, 0.5, grid4=1.4), r"shows a grid \(1.00, 1.40\)"),
    ],
)
def test_a_style_with_a_fault_is_not_published(found, reason):
    start = measured(0.5, 0.9)
    refuse_faults(measured(0.4, 0.9, contrast=0.21), start, contrast=0.5)
    with pytest.raises(TrainerError, match=reason):
        refuse_faults(found, start, contrast=0.5)
