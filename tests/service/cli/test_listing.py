"""`impasto models`, `impasto bench`, and what the shell completes."""

import json
import subprocess
import sys

import httpx
import pytest

from tests.service.cli.conftest import PROGRAM, environment


@pytest.mark.parametrize("place", ["here", "a server"])
def test_models_and_cards(invoked, checkpoints, address, place):
    where = ["--server", address] if place == "a server" else ["--checkpoints", checkpoints]
    table = invoked("models", *where)
    assert [line.split()[:2] for line in table.stdout.decode().splitlines()[1:]] == [
        ["stylize/mosaic", "x1"],
        ["stylize/starry_night", "x1"],
        ["upscale/x2", "x2"],
        ["upscale/x4", "x4"],
    ]
    served = httpx.get(f"{address}/models", trust_env=False).json()
    listed = json.loads(invoked("models", *where, "--json").stdout)
    for document in (served, listed):
        for model in document["models"]:
            model.pop("loaded")
    assert listed == served
    card = invoked("models", "mosaic", *where).stdout.decode()
    assert "license: CC0-1.0" in card
    assert "  residual_blocks: 1" in card
    assert "weights_sha256: " in card
    same = httpx.get(f"{address}/models/upscale/x4", trust_env=False).json()
    assert json.loads(invoked("models", "upscale/x4", *where, "--json").stdout) == same
    unknown = invoked("models", "mosiac", *where)
    assert unknown.returncode == 2
    assert unknown.stderr == (
        b"impasto: there is no model 'mosiac'; there are stylize/mosaic, stylize/starry_night, upscale/x2, upscale/x4\n"
    )


def test_refused_files_are_told(invoked, checkpoints, tmp_path):
    (tmp_path / "upscale").mkdir()
    (tmp_path / "upscale/x2.safetensors").write_bytes((checkpoints / "upscale/x2.safetensors").read_bytes())
    (tmp_path / "upscale/x4.safetensors").write_bytes(b"cut")
    result = invoked("models", "--checkpoints", tmp_path)
    assert result.stderr.startswith(b"refused: upscale/x4.safetensors: ")
    assert invoked("models", "x4", "--checkpoints", tmp_path).stderr.startswith(
        b"impasto: there is no model 'x4'; upscale/x4.safetensors is refused: "
    )


def test_bench_measures_a_style_and_a_factor(invoked, checkpoints):
    command = ["bench", "--checkpoints", checkpoints, "--device", "cpu", "--precision", "fp32"]
    command += ["--side", "32", "--seconds", "0.05"]
    found = json.loads(invoked(*command, "--json").stdout)
    assert (found["device"], found["precision"]) == ("cpu", "fp32")
    assert [each["model"] for each in found["results"]] == ["stylize/mosaic", "upscale/x4"]
    for each in found["results"]:
        assert each["pictures"] >= 2
        assert each["megapixels_per_second"] == pytest.approx(each["pictures"] * 32**2 / 1e6 / each["seconds"], rel=0.1)
        assert set(each["milliseconds"]) == {"decode", "queue", "forward", "encode"}
    lines = invoked(*command, "--style", "starry_night", "--factor", "3").stdout.decode().splitlines()
    assert [line.split()[0] for line in lines] == ["stylize/starry_night", "upscale/x3", "on"]
    unknown = invoked(*command, "--style", "mosiac")
    assert (unknown.returncode, unknown.stderr.split(b";")[0]) == (2, b"impasto: style 'mosiac' is not served")


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        ("impasto sty", {"stylize"}),
        ("impasto stylize --style mo", {"mosaic"}),
        ("impasto models upscale/", {"upscale/x2", "upscale/x4"}),
        ("impasto upscale --metadata ", {"strip", "keep"}),
    ],
)
def test_the_shell_completes_and_does_not_wait_for_torch(checkpoints, tmp_path, words, completions):
    (tmp_path / "checkpoints").symlink_to(checkpoints)
    asked = {"_IMPASTO_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    without_torch = [sys.executable, "-c", f"import sys; sys.modules['torch'] = None; {PROGRAM[-1]}"]
    result = subprocess.run(
        without_torch, env=environment(checkpoints, **asked), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert set(result.stdout.split()) == completions, result.stderr
