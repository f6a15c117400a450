"""Checkpoints between two trainings of one network."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nets.checkpoint import load
from tests.conftest import save_net, tiny_upscaler

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
