"""Several processes, started by torchrun as a user would, against one."""

import os
import subprocess
import sys

import pytest
import torch

from nets.checkpoint import load
from nets.golden import golden_input
from nets.style_transfer import StyleTransferConfig, StyleTransferNet
from tests.trainer.test_recipes import STYLE, losses_of
from trainer.errors import TrainerError
from trainer.loop.distributed import ONE_PROCESS, Processes

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "trainer"]
ALONE = [sys.executable, "-m", "trainer"]


def train(launcher, config, photographs, vgg16_file, run, iterations):
    """Train in processes of their own; one thread each, so that sums are made in one order."""
    inputs = ["--data", photographs, "--vgg16", vgg16_file, "--workers", 0]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "IMPASTO_STYLES": str(config.parent)}
    command = [*launcher, "style", config, *inputs, "--run-dir", run, "--iterations", iterations]
    result = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, env=environment, check=False
    )
    assert result.returncode == 0, result.stderr
    return result


@pytest.fixture
def config(tmp_path, style_image):
    (tmp_path / style_image.name).write_bytes(style_image.read_bytes())
    path = tmp_path / "checks.toml"
    path.write_text(STYLE.format(style=style_image.name).replace("batch = 2", "batch = 4"))
    return path


@pytest.mark.long
def test_two_processes_walk_as_one_and_one_goes_on_where_they_stopped(config, photographs, vgg16_file, tmp_path):
    alone, together = tmp_path / "alone", tmp_path / "together"
    train(ALONE, config, photographs, vgg16_file, alone, 20)
    printed = train(TORCHRUN, config, photographs, vgg16_file, together, 20).stdout
    assert printed.count("checkpoint ") == 1  # the main process alone speaks
    expected = losses_of(alone)
    assert len(expected) == 2
    assert losses_of(together) == {step: pytest.approx(values, rel=1e-3) for step, values in expected.items()}
    # Not weight by weight: a bias before instance norm has no gradient but rounding errors, and Adam follows those.
    one, other = (load(run / "checkpoints/stylize/checks.safetensors").net for run in (alone, together))
    with torch.no_grad():
        assert torch.allclose(one(golden_input()), other(golden_input()), atol=2e-3)

    for run, launcher in ((alone, TORCHRUN), (together, ALONE)):  # each goes on with the other number of processes
        train(launcher, config, photographs, vgg16_file, run, 30)
    expected = losses_of(alone)
    assert sorted(expected) == [10, 20, 30]
    assert losses_of(together) == {step: pytest.approx(values, rel=1e-3) for step, values in expected.items()}


def test_the_shares_of_a_batch_are_the_batch():
    shares = [Processes(rank, 2).order(4, 1, 3) for rank in range(2)]
    assert shares == [[4, 5, 8, 9], [6, 7, 10, 11]]
    assert ONE_PROCESS.order(4, 1, 3) == [4, 5, 6, 7, 8, 9, 10, 11]


def test_what_cannot_be_shared_is_refused():
    with pytest.raises(TrainerError, match=r"data\.batch = 3 cannot be shared evenly by 2 processes"):
        Processes(0, 2).order(3, 0, 1)
    with pytest.raises(TrainerError, match="batch norm takes its statistics over the whole batch"):
        Processes(0, 2).parallel(StyleTransferNet(StyleTransferConfig(width=4, residual_blocks=1, norm="batch")))
