"""Which output belongs to which picture: no two share one, and what is there already is skipped with the reason."""

import json
import os
import subprocess
import sys

import pytest
from PIL import Image

from tests.conftest import encoded, picture, save_net, tiny_upscaler
from tests.service.cli.conftest import environment

WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; from service.cli.main import main; main()"


def lines(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


def outputs(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("[!.]*") if path.is_file()}


@pytest.fixture
def pictures(tmp_path):
    """Pictures by name, each of a width of its own, so that it can be told which output is whose."""

    def make(**widths):
        for name, width in widths.items():
            path = tmp_path / name.replace("__", "/").replace("_", ".")
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(picture(8, width)).save(path)

    return make


def upscaled(invoked, address, *arguments):
    return invoked("upscale", *arguments, "--factor", "2", "-o", "out", "--server", address, "--json")


def assert_each_has_its_own(tmp_path, told):
    targets = [line["target"] for line in told]
    assert len(set(targets)) == len(told)
    for line in told:
        with Image.open(tmp_path / line["source"]) as before, Image.open(tmp_path / line["target"]) as after:
            assert after.width == 2 * before.width, line


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["d1", "d2"], {"d1-x.png", "d2-x.png"}),
        (["d1/x.png", "d2/x.png"], {"d1-x.png", "d2-x.png"}),
        (["d?/*.png"], {"d1-x.png", "d2-x.png"}),
        (["a.jpg", "a.png", "--format", "png"], {"a.png", "a.jpg.png"}),
        (["a.bmp", "a.tiff"], {"a.bmp.png", "a.tiff.png"}),
        (["a.tiff", "a.png"], {"a.png", "a.tiff.png"}),
        (["a.jpg", "a.tiff", "--lossless"], {"a.jpg.png", "a.tiff.png"}),
    ],
    ids=" ".join,
)
def test_two_pictures_never_share_an_output(invoked, address, pictures, tmp_path, arguments, expected):
    pictures(d1__x_png=20, d2__x_png=30, a_jpg=22, a_png=24, a_tiff=26, a_bmp=28)
    first = upscaled(invoked, address, *arguments)
    assert (first.returncode, outputs(tmp_path / "out")) == (0, expected)
    assert_each_has_its_own(tmp_path, lines(first))
    again = upscaled(invoked, address, *arguments)
    assert [line["status"] for line in lines(again)] == ["skipped"] * 2
    assert {line["source"]: line["target"] for line in lines(again)} == {
        line["source"]: line["target"] for line in lines(first)
    }


def test_names_are_numbered_where_nothing_else_tells_them_apart(invoked, address, pictures, tmp_path):
    pictures(a_jpg=22, a_png=24, a_jpg_png=26)
    (tmp_path / "deep/in").mkdir(parents=True)
    (tmp_path / "deep/in/a.png").write_bytes(encoded(picture(8, 30)))
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(encoded(picture(8, 32)))
    result = upscaled(invoked, address, "a.jpg", "a.png", "a.jpg.png", "in/a.png", "deep/in/a.png", "--format", "png")
    assert result.returncode == 0
    assert_each_has_its_own(tmp_path, lines(result))


def test_a_picture_that_comes_later_does_not_take_the_output_of_another(invoked, address, pictures, tmp_path):
    pictures(a_tiff=26)
    assert lines(upscaled(invoked, address, "a.tiff"))[0]["target"] == "out/a.png"
    pictures(a_png=24)
    told = lines(upscaled(invoked, address, "a.tiff", "a.png"))
    assert {line["source"]: line["status"] for line in told} == {"a.tiff": "skipped", "a.png": "done"}
    assert_each_has_its_own(tmp_path, told)
    alone = lines(upscaled(invoked, address, "a.png"))
    assert alone[0]["status"] == "skipped"
    assert_each_has_its_own(tmp_path, alone)


def test_what_was_made_otherwise_is_skipped_with_the_reason(invoked, address, pictures, tmp_path):
    pictures(a_png=24)
    command = ["stylize", "a.png", "-o", "out", "--server", address]
    assert invoked(*command, "--style", "mosaic").returncode == 0
    same = invoked(*command, "--style", "mosaic")
    assert (same.returncode, same.stderr) == (0, b"1 skipped: done already\n")
    other = invoked(*command, "--style", "starry_night", "--strength", "0.5")
    assert other.stderr == (
        b"1 skipped: made with other parameters (--style mosaic, without --strength): --overwrite makes it anew\n"
    )
    reason = lines(invoked(*command, "--style", "starry_night", "--json"))[0]["reason"]
    assert reason == "made with other parameters (--style mosaic)"
    os.utime(tmp_path / "a.png", (1, 1))
    changed = invoked(*command, "--style", "mosaic")
    assert changed.stderr == b"1 skipped: the picture has changed since: --overwrite makes it anew\n"
    assert invoked(*command, "--style", "starry_night", "--overwrite").returncode == 0
    assert invoked(*command, "--style", "starry_night").stderr == b"1 skipped: done already\n"
    (tmp_path / "out/b.png").write_bytes(b"somebody's own")
    pictures(b_png=26)
    stranger = invoked("stylize", "b.png", "-o", "out", "--server", address, "--style", "mosaic")
    assert b"out/b.png is there already, and no record says how it was made" in stranger.stderr
    assert (tmp_path / "out/b.png").read_bytes() == b"somebody's own"


def test_another_version_of_the_network_is_a_reason(impasto, pictures, tmp_path):
    pictures(a_png=24)
    command = ["upscale", "a.png", "--factor", "2", "-o", "out", "--checkpoints", "models"]
    for seed in (1, 2):
        save_net(tmp_path / "models", "x2", tiny_upscaler(2, seed=seed))
        result = impasto(*command)
        assert result.returncode == 0, result.stderr
    assert result.stderr == b"1 skipped: made by another version of the network: --overwrite makes it anew\n"


def test_a_damaged_record_is_passed_over(invoked, address, pictures, tmp_path):
    pictures(a_png=24)
    upscaled(invoked, address, "a.png")
    with (tmp_path / "out/.impasto.jsonl").open("a") as file:
        file.write('{"output": "a.png"\n[]\n{"colour": 1}\n')
    assert lines(upscaled(invoked, address, "a.png"))[0]["reason"] == "done already"


def without_torch(checkpoints, tmp_path, *arguments):
    command = [sys.executable, "-c", WITHOUT_TORCH, *map(str, arguments)]
    return subprocess.run(
        command, env=environment(checkpoints), cwd=tmp_path, capture_output=True, text=True, check=False
    )


def test_what_cannot_be_done_or_is_done_is_said_without_torch(invoked, address, pictures, checkpoints, tmp_path):
    pictures(a_png=24)
    assert upscaled(invoked, address, "a.png").returncode == 0
    done = without_torch(checkpoints, tmp_path, "upscale", "a.png", "--factor", "2", "-o", "out")
    assert (done.returncode, done.stderr) == (0, "1 skipped: done already\n")
    style = without_torch(checkpoints, tmp_path, "stylize", "a.png", "--style", "mosiac", "-o", "out")
    assert style.returncode == 2
    assert style.stderr == "impasto: style 'mosiac' is not served; served: mosaic, starry_night\n"
    factor = without_torch(checkpoints, tmp_path, "upscale", "a.png", "--factor", "5", "-o", "new")
    assert factor.returncode == 2
    assert factor.stderr == "impasto: factor 5 is not served; served: 2, 4, and any number from 1 to 4\n"
    listed = without_torch(checkpoints, tmp_path, "models")
    assert (listed.returncode, len(listed.stdout.splitlines())) == (0, 5)
    assert without_torch(checkpoints, tmp_path, "--version").stdout == "impasto 0.1.0\n"


def test_a_lossless_jpeg_is_refused_before_anything_is_made(checkpoints, pictures, tmp_path):
    pictures(a_png=24)
    result = without_torch(checkpoints, tmp_path, "upscale", "a.png", "--factor", "2", "-o", "o.jpg", "--lossless")
    assert result.returncode == 2
    assert result.stderr == (
        "impasto: --lossless is 'True': format 'jpeg' always has loss; expected format png, tiff, webp, or none\n"
    )


def test_the_ending_and_the_format_agree(invoked, pictures):
    pictures(a_png=24)
    result = invoked("upscale", "a.png", "--factor", "2", "-o", "o.jpg", "--format", "png")
    assert result.returncode == 2
    assert result.stderr == (b"impasto: -o o.jpg is the name of a jpeg file, and --format is png: change one of them\n")
