"""The recipes through the command line: they learn, resume after a kill as if nothing had happened, and publish."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from typer.testing import CliRunner

from nets.checkpoint import load
from service.models.registry import load_registry
from tests.conftest import save_net, tiny_style_net
from trainer.commands import main as cli
from trainer.commands.options import STYLES_VARIABLE, find_parent, find_recipe
from trainer.errors import TrainerError
from trainer.loop.runs import Run
from trainer.recipes.super_resolution import resized

STYLE = """
name = "checks"
iterations = 12
style_image = "{style}"
neutral_iterations = 2
precision = "fp32"
save_every = 2
sample_every = 6
license = "CC0-1.0"
source = "made in a test"
[network]
width = 4
residual_blocks = 1
[data]
crop_px = 32
max_scale = 1.5
batch = 2
style_px = 48
[loss]
content_layer = "relu1_2"
style_weight = 1.0
style_layers = {{ relu1_2 = 1.0, relu2_2 = 1.0 }}
total_variation_weight = 0.1
range_weight = 10.0
spike_weight = 1.0
[optimiser]
learning_rate = 1e-3
average = 0.9
clip_norm = 100.0
decay_from = 0.5
"""

UPSCALE = """
name = "x2"
iterations = 60
precision = "fp32"
save_every = 20
sample_every = 60
[network]
factor = 2
width = 8
residual_blocks = 1
[data]
low_res_px = 12
batch = 4
[optimiser]
learning_rate = 2e-3
average = 0.9
"""


@pytest.fixture
def style_config(tmp_path, style_image):
    path = tmp_path / "checks.toml"
    path.write_text(STYLE.format(style=style_image.name))
    return path


def style_arguments(config, photographs, vgg16_file, run, *more):
    return ["style", str(config), "--data", str(photographs), "--vgg16", str(vgg16_file), "--run", str(run), *more]


def invoke(*arguments):
    """The command line in this process; its exit code and everything it printed."""
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def losses_of(run):
    return {line["iteration"]: (line["content"], line["style"]) for line in Run(run).metrics() if "style" in line}


def test_a_style_is_trained_resumed_and_served(
    style_config, photographs, vgg16_file, style_image, tmp_path, monkeypatch
):
    monkeypatch.setenv(STYLES_VARIABLE, str(style_image.parent))
    straight, halting = tmp_path / "straight", tmp_path / "halting"
    assert invoke(*style_arguments(style_config, photographs, vgg16_file, straight)).exit_code == 0
    invoke(*style_arguments(style_config, photographs, vgg16_file, halting, "--iterations", "6"))

    # The rate falls with the planned length, so a run cut short by a plan is compared from where the plans agree.
    result = invoke(*style_arguments(style_config, photographs, vgg16_file, halting))
    assert "checkpoint" in result.output
    lines = (halting / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["iteration"] for line in lines] == [6, 10, 12]

    checkpoint = load(straight / "checkpoints" / "stylize" / "checks.safetensors")
    training = checkpoint.card.training
    assert training["iterations"] == 12
    assert training["loss_network"].startswith("vgg16@sha256:")
    assert training["photographs"] == 4
    assert "photographs" not in training["recipe"]
    assert re.fullmatch("[0-9a-f]{64}", training["style_image_sha256"])
    assert checkpoint.card.license == "CC0-1.0"
    assert checkpoint.card.metrics["iteration"] == 12
    assert (straight / "samples" / "000012.jpg").stat().st_size > 0

    published = invoke("publish", straight, "--to", tmp_path / "served")
    assert "published" in published.output
    told = json.loads(invoke("publish", straight, "--to", tmp_path / "served", "--json").stdout)
    assert told == {"published": [str(tmp_path / "served/stylize/checks.safetensors")]}
    arguments = style_arguments(style_config, photographs, vgg16_file, straight, "--json")  # is done: only tells
    (line,) = invoke(*arguments).stdout.splitlines()
    assert json.loads(line)["metrics"][0]["iteration"] == 12
    assert json.loads(line)["checkpoint"] == str(straight / "checkpoints/stylize/checks.safetensors")
    assert list(load_registry(tmp_path / "served").models) == ["stylize/checks"]


@pytest.mark.long
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    style_config, photographs, vgg16_file, style_image, tmp_path, monkeypatch
):
    monkeypatch.setenv(STYLES_VARIABLE, str(style_image.parent))
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    arguments = style_arguments(style_config, photographs, vgg16_file, killed)
    process = subprocess.Popen([sys.executable, "-m", "trainer", *arguments], stderr=subprocess.DEVNULL)
    while not (killed / "state.pt").exists():
        assert process.poll() is None, "the trainer ended before its first state"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL
    assert 2 <= torch.load(killed / "state.pt", weights_only=True)["iteration"] < 12

    invoke(*arguments)
    invoke(*style_arguments(style_config, photographs, vgg16_file, straight))
    expected = losses_of(straight)
    assert losses_of(killed) == {step: pytest.approx(values, rel=1e-3) for step, values in expected.items()}
    one, other = (load(run / "checkpoints/stylize/checks.safetensors").net.state_dict() for run in (straight, killed))
    assert all(torch.allclose(one[name], other[name], atol=1e-4) for name in one)


def test_an_upscaler_learns_and_its_child_starts_from_it(photographs, tmp_path):
    config = tmp_path / "x2.toml"
    config.write_text(UPSCALE)
    result = invoke("upscale", config, "--data", photographs, "--run", tmp_path / "run")
    assert result.exit_code == 0
    metrics = Run(tmp_path / "run").metrics()
    assert metrics[-1]["pixel"] < metrics[0]["pixel"]
    parent = tmp_path / "run/checkpoints/upscale/x2.safetensors"
    scores = invoke("evaluate", parent, "--data", photographs, "--no-perceptual").output.splitlines()
    assert scores[-1].split()[:2] == ["mean", "x2"]
    assert float(scores[-1].split()[2]) > float(scores[-2].split()[2]) - 1.0  # beside bicubic
    told = json.loads(invoke("evaluate", parent, "--data", photographs, "--no-perceptual", "--json").stdout)
    assert list(told) == ["bicubic", "x2"]
    assert f"{told['x2'][-1]['psnr']:.2f}" == scores[-1].split()[2]
    assert (told["x2"][-1]["image"], told["x2"][-1]["lpips"]) == ("mean", None)

    config.write_text(UPSCALE.replace("factor = 2", "factor = 4").replace('"x2"', '"x4"').replace("= 60", "= 1"))
    invoke("upscale", config, "--data", photographs, "--run", tmp_path / "child", "--parent", parent)
    child = load(tmp_path / "child/checkpoints/upscale/x4.safetensors")
    assert child.card.parent == load(parent).version
    assert child.config.factor == 4
    body = "body.blocks.0.conv1.weight"
    assert torch.allclose(child.net.state_dict()[body], load(parent).net.state_dict()[body], atol=0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[loss]", "[less]"), "less = {"),
        (("checks.png", "gone.png"), "style image 'gone.png' is not in"),
        (("learning_rate = 1e-3", "learning_rate = 1e30"), "the loss is nan at iteration"),
    ],
)
def test_what_the_user_can_mend_is_one_line(
    style_config, photographs, vgg16_file, style_image, tmp_path, change, message
):
    style_config.write_text(style_config.read_text().replace(*change))
    arguments = style_arguments(style_config, photographs, vgg16_file, tmp_path / "run")
    process = subprocess.run(
        [sys.executable, "-m", "trainer", *arguments],
        capture_output=True,
        text=True,
        env={"PATH": "", "IMPASTO_STYLES": str(style_image.parent)},
        check=False,
    )
    assert process.returncode == 1
    assert "Traceback" not in process.stderr
    assert message in process.stderr.splitlines()[-1]


@pytest.mark.long
def test_an_upscaler_is_trained_for_features_and_lpips_and_resumed(photographs, vgg16_file, tmp_path):
    config = tmp_path / "x2_perceptual.toml"
    loss = "[loss]\nfeature_weight = 0.1\nlpips_weight = 1.0\n"
    config.write_text(UPSCALE.replace('"x2"', '"x2_perceptual"').replace("low_res_px = 12", "low_res_px = 16") + loss)
    arguments = ["upscale", config, "--data", photographs, "--vgg16", vgg16_file, "--workers", 0]
    invoke(*arguments, "--run", tmp_path / "straight", "--iterations", 20)
    invoke(*arguments, "--run", tmp_path / "halting", "--iterations", 10)
    invoke(*arguments, "--run", tmp_path / "halting", "--iterations", 20)
    straight, halting = (Run(tmp_path / name).metrics() for name in ("straight", "halting"))
    assert [set(line) >= {"pixel", "feature", "lpips"} for line in straight] == [True, True]
    for name in ("pixel", "feature", "lpips"):
        assert halting[1][name] == pytest.approx(straight[1][name], rel=1e-3)
    card = load(tmp_path / "straight/checkpoints/upscale/x2_perceptual.safetensors").card
    assert card.training["loss_network"].startswith("vgg16@sha256:")


def test_a_last_convolution_for_another_factor_repeats_pixels_or_takes_their_mean():
    generator = torch.Generator().manual_seed(0)
    tail, x = torch.rand(48, 5, 3, 3, generator=generator), torch.rand(1, 5, 6, 6, generator=generator)
    enlarged = F.pixel_shuffle(F.conv2d(x, tail), 4)
    twice = F.pixel_shuffle(F.conv2d(x, resized(tail, 8)), 8)
    torch.testing.assert_close(twice, F.interpolate(enlarged, scale_factor=2.0, mode="nearest"))
    half = F.pixel_shuffle(F.conv2d(x, resized(tail, 2)), 2)
    torch.testing.assert_close(half, F.avg_pool2d(enlarged, 2))
    assert torch.equal(resized(tail, 4), tail)


def test_an_upscaler_with_an_adversary_is_resumed(photographs, tmp_path):
    config = tmp_path / "x2_photo.toml"
    loss = "[loss]\nadversarial_weight = 0.01\nadversary_warm_up = 4\ngrid_weight = 0.1\n"
    config.write_text(UPSCALE.replace('"x2"', '"x2_photo"') + loss)
    arguments = ["upscale", config, "--data", photographs, "--workers", 0]
    invoke(*arguments, "--run", tmp_path / "straight", "--iterations", 20)
    invoke(*arguments, "--run", tmp_path / "halting", "--iterations", 10)
    invoke(*arguments, "--run", tmp_path / "halting", "--iterations", 20)
    straight, halting = (Run(tmp_path / name).metrics() for name in ("straight", "halting"))
    assert [line["adversarial"] > 0 and line["adversary"] > 0 for line in straight] == [True, True]
    for name in ("pixel", "adversarial", "adversary", "grid"):
        assert halting[1][name] == pytest.approx(straight[1][name], rel=1e-3)


def test_an_upscaler_starts_with_the_pixel_loss_alone_where_the_recipe_says_so(photographs, tmp_path):
    config = tmp_path / "x2_photo.toml"
    loss = "[loss]\npixel_iterations = 10\nadversarial_weight = 0.01\nadversary_warm_up = 4\n"
    loss += "grid_weight = 0.1\nlattice_weight = 0.1\n"
    config.write_text(UPSCALE.replace('"x2"', '"x2_photo"') + loss)
    invoke("upscale", config, "--data", photographs, "--workers", 0, "--run", tmp_path / "run", "--iterations", 20)
    first, second = Run(tmp_path / "run").metrics()
    further = {"adversarial", "adversary", "grid", "lattice"}
    assert (further & set(first), further & set(second)) == (set(), further)
    assert first["pixel"] > 0


def test_broken_photographs_are_told_of_at_the_end(photographs, tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for path in photographs.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "broken.jpg").write_bytes(b"not a picture")
    config = tmp_path / "x2.toml"
    config.write_text(UPSCALE.replace("= 60", "= 10"))
    output = invoke("upscale", config, "--data", folder, "--run", tmp_path / "run", "--validation", photographs).output
    assert "1 photographs could not be read and were skipped" in output
    training = load(tmp_path / "run/checkpoints/upscale/x2.safetensors").card.training
    assert (training["photographs"], training["photographs_skipped"]) == (5, 1)
    assert training["seconds"] > 0
    assert [line["psnr"] > 10 for line in Run(tmp_path / "run").metrics() if "psnr" in line] == [True]


def test_a_neutral_recipe_needs_neither_style_nor_loss_network(photographs, tmp_path):
    config = tmp_path / "neutral.toml"
    text = STYLE.replace("style_image", "# style_image").replace("neutral_iterations = 2", "neutral_iterations = 12")
    config.write_text(text.format(style="").replace('"checks"', '"neutral"'))
    assert invoke("style", config, "--data", photographs, "--run", tmp_path / "run").exit_code == 0
    card = load(tmp_path / "run/checkpoints/stylize/neutral.safetensors").card
    assert card.training["loss_network"] is None
    assert "style_image_sha256" not in card.training


def test_a_style_starts_from_a_parent_of_half_its_width(
    style_config, photographs, vgg16_file, style_image, tmp_path, monkeypatch
):
    monkeypatch.setenv(STYLES_VARIABLE, str(style_image.parent))
    style_config.write_text(style_config.read_text().replace("width = 4", "width = 8"))
    parent = save_net(tmp_path, "tiny", tiny_style_net())
    arguments = style_arguments(style_config, photographs, vgg16_file, tmp_path / "run", "--parent", parent)
    assert invoke(*arguments, "--iterations", "1").exit_code == 0
    card = load(tmp_path / "run/checkpoints/stylize/checks.safetensors").card
    assert (card.config["width"], card.parent) == (8, load(parent).version)


def test_another_recipe_in_the_same_run_is_refused(
    style_config, photographs, vgg16_file, style_image, tmp_path, monkeypatch
):
    monkeypatch.setenv(STYLES_VARIABLE, str(style_image.parent))
    arguments = style_arguments(style_config, photographs, vgg16_file, tmp_path / "run", "--iterations", "2")
    invoke(*arguments)
    style_config.write_text(style_config.read_text().replace("batch = 2", "batch = 3"))
    with pytest.raises(Exception, match=r"holds a run with data = .*'batch': 2"):
        invoke(*arguments)


def test_a_parent_of_another_shape_is_refused(
    style_config, photographs, vgg16_file, style_image, tmp_path, monkeypatch
):
    monkeypatch.setenv(STYLES_VARIABLE, str(style_image.parent))
    style_config.write_text(style_config.read_text().replace("width = 4", "width = 5"))
    parent = save_net(tmp_path, "tiny", tiny_style_net())
    with pytest.raises(Exception, match=r"parent .*tiny\.safetensors is StyleTransferConfig\(width=4"):
        invoke(*style_arguments(style_config, photographs, vgg16_file, tmp_path / "run", "--parent", parent))


def test_a_run_that_has_not_finished_cannot_be_published(tmp_path):
    with pytest.raises(Exception, match="has no checkpoint yet"):
        invoke("publish", tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_run_and_the_same_command_goes_on(photographs, tmp_path, number):
    run = tmp_path / "run"
    config = tmp_path / "endless.toml"
    config.write_text(
        'name = "x2"\niterations = 100000\nsave_every = 100000\nsample_every = 100000\n[network]\nfactor = 2\n'
        "width = 4\nresidual_blocks = 1\n[data]\nlow_res_px = 16\nbatch = 2\n"
    )
    arguments = ["upscale", str(config), "--data", str(photographs), "--run", str(run), "--workers", "1"]
    command = [sys.executable, "-m", "trainer", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (run / "metrics.jsonl").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    assert not (run / "state.pt").exists()
    process.send_signal(number)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 128 + number, told
    first, *_, last = told.splitlines()
    assert re.fullmatch(r"x2: 100000 iterations on \S+ in (fp32|bf16), 4 photographs, from scratch", first)
    stopped = int(re.fullmatch(r"impasto-train: stopped at (\d+), saved; the same command goes on", last)[1])
    assert "Traceback" not in told
    assert torch.load(run / "state.pt", weights_only=True)["iteration"] == stopped
    assert invoke(*arguments, "--iterations", str(stopped + 1)).exit_code == 0
    assert load(run / "checkpoints/upscale/x2.safetensors").card.training["iterations"] == stopped + 1


def test_a_painting_of_ones_own_takes_neither_name_nor_licence_of_the_recipe(
    style_config, photographs, vgg16_file, tmp_path, monkeypatch, style_image
):
    monkeypatch.chdir(tmp_path)
    painting = tmp_path / "My Painting.png"
    painting.write_bytes(style_image.read_bytes())
    arguments = ["style", str(style_config), "--data", str(photographs), "--vgg16", str(vgg16_file)]
    assert invoke(*arguments, "--style", painting, "--iterations", "1").exit_code == 0
    card = load(tmp_path / "runs/my_painting/checkpoints/stylize/my_painting.safetensors").card
    assert (card.license, card.source) == ("", "")
    named = [*arguments, "--style", painting, "--name", "mine", "--license", "CC-BY-4.0", "--source", "me, 2026"]
    assert invoke(*named, "--iterations", "1").exit_code == 0
    card = load(tmp_path / "runs/mine/checkpoints/stylize/mine.safetensors").card
    assert (card.license, card.source) == ("CC-BY-4.0", "me, 2026")
    with pytest.raises(TrainerError, match="--name 'Mine!': expected lower-case letters"):
        invoke(*arguments, "--style", painting, "--name", "Mine!")


def test_a_checkpoint_of_another_origin_is_not_replaced_by_accident(photographs, tmp_path):
    run, served = tmp_path / "run", tmp_path / "served"
    config = tmp_path / "neutral.toml"
    config.write_text(
        'name = "mosaic"\niterations = 1\nneutral_iterations = 1\n[network]\nwidth = 4\nresidual_blocks = 1\n'
        "[data]\ncrop_px = 32\nbatch = 1\n"
    )
    invoke("style", config, "--data", photographs, "--run", run)
    bundled = save_net(served, "mosaic", tiny_style_net())
    before = bundled.read_bytes()
    with pytest.raises(TrainerError, match=r"was trained on other photographs \(made in a test\): .*--force"):
        invoke("publish", run, "--to", served)
    assert bundled.read_bytes() == before
    assert invoke("publish", run, "--to", served, "--force").exit_code == 0
    assert bundled.read_bytes() != before
    assert invoke("publish", run, "--to", served).exit_code == 0  # its own origin


def test_recipes_are_found_by_name_and_their_parents_in_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("engraving", "x4", "paper/style"):
        assert find_recipe(Path(name)).is_file()
    assert Path(find_parent("checkpoints/upscale/x4.safetensors")).is_file()
    assert find_parent("") == ""
    with pytest.raises(TrainerError, match="or the name of a bundled recipe: engraving, family"):
        find_recipe(Path("engravign"))
