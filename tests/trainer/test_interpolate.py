"""Checkpoints between two trainings of one network."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nets.checkpoint import load
from nets.style_trunk import trunk_parameters
from tests.conftest import save_net, tiny_upscaler
from tests.nets.test_trunk import save_family

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_weights_of_an_upscaler_lie_between_two_trainings(share, tmp_path):
    first, second = (save_net(tmp_path / name, "x2", tiny_upscaler(2, seed)) for seed, name in enumerate("ab"))
    command = [sys.executable, "scripts/interpolate.py", first, second, tmp_path / "between.safetensors"]
    subprocess.run([*command, "--share", str(share)], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, check=True)
    one, other, written = (load(path) for path in (first, second, tmp_path / "between.safetensors"))
    for key, value in written.net.state_dict().items():
        expected = (1 - share) * one.net.state_dict()[key] + share * other.net.state_dict()[key]
        torch.testing.assert_close(value, expected)
    assert written.card.training["interpolated"] == {"with": one.version, "share": share}


def test_styles_of_one_trunk_have_shares_of_their_own(tmp_path):
    for folder, seed in (("first", 0), ("second", 1)):
        save_family(tmp_path / folder, ("a", "b"), seed=seed)
    command = [sys.executable, "scripts/interpolate.py", *(tmp_path / name for name in ("first", "second", "out"))]
    subprocess.run([*command, "--style", "b=0.25"], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, check=True)
    for style, own in (("a", 0.5), ("b", 0.25)):
        nets = [load(tmp_path / name / f"stylize/{style}.safetensors").net for name in ("first", "second", "out")]
        first, second, between = (net.state_dict() for net in nets)
        shared = trunk_parameters(nets[0])
        for key, value in between.items():
            share = 0.5 if key in shared else own
            torch.testing.assert_close(value, (1 - share) * first[key] + share * second[key], atol=2e-3, rtol=2e-2)
