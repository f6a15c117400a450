"""A run directory when the disk is full. (Kills and resumption: test_recipes.)"""

import pytest
import torch

from trainer.errors import TrainerError
from trainer.loop.runs import Run


def begun(folder):
    run = Run(folder / "run")
    run.begin({"name": "tiny"})
    return run


def state(iteration):
    return {"recipe": {"name": "tiny"}, "iteration": iteration, "weights": torch.zeros(1000)}


def test_a_full_disk_is_named_and_the_last_state_is_kept(tmp_path):
    run = begun(tmp_path)
    run.save(state(7))
    (run.directory / "state.tmp").symlink_to("/dev/full")  # the device on which every write finds the disk full
    with pytest.raises(TrainerError, match=r"state\.pt cannot be written: .*; the last saved state is kept"):
        run.save(state(8))
    assert Run(run.directory).begin({"name": "tiny"})["iteration"] == 7
    run.save(state(9))  # there is room again
    assert Run(run.directory).begin({"name": "tiny"})["iteration"] == 9


def test_metrics_on_a_full_disk_stop_the_run_too(tmp_path):
    run = begun(tmp_path)
    (run.directory / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(TrainerError, match=r"metrics\.jsonl cannot be written: No space left .*nothing was saved yet"):
        run.log(1, content=1.0)
