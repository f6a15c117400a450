"""The states of a task."""

import numpy as np
import pytest

from service.engine.task import TRANSITIONS, TaskState
from service.errors import DeadlineError, UnavailableError
from tests.service.engine.harness import Harness


def test_a_task_goes_through_its_states():
    harness = Harness(batch_pixels=0)
    done, failed, cancelled = (harness.submit(name) for name in ("done", "failed", "cancelled"))
    expired = harness.submit("expired", cost=1.0, expires=0.0)
    assert {task.state for task in (done, failed, cancelled, expired)} == {TaskState.QUEUED}
    first = harness.scheduler.take()
    assert (first.items[0].task, done.state, expired.state) == (done, TaskState.RUNNING, TaskState.EXPIRED)
    harness.compute(first)
    harness.scheduler.fail(harness.scheduler.take().items[0], RuntimeError("a bug"))
    harness.scheduler.cancel(cancelled)
    states = [task.state for task in (done, failed, cancelled)]
    assert states == [TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED]
    assert all(task.over for task in (done, failed, cancelled, expired))
    assert isinstance(harness.results["done"], np.ndarray)
    assert isinstance(harness.results["expired"], DeadlineError)
    assert "cancelled" not in harness.results


@pytest.mark.parametrize("final", [state for state, following in TRANSITIONS.items() if not following])
def test_a_final_state_stays(final):
    task = Harness().submit("a")
    task.state = final
    for state in TaskState:
        with pytest.raises(ValueError, match=f"cannot go from {final.value} to {state.value}"):
            task.move_to(state)
    assert task.state is final


def test_a_task_ends_once_whatever_comes_later():
    harness = Harness(batch_pixels=0)
    task = harness.submit("a")
    batch = harness.scheduler.take()
    harness.scheduler.cancel(task)
    harness.compute(batch)
    harness.scheduler.fail(batch.items[0], RuntimeError("late"))
    harness.scheduler.fail_all(UnavailableError("the device failed"))
    assert (task.state, harness.results) == (TaskState.CANCELLED, {})
