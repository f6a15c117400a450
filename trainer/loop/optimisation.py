"""The optimiser of every recipe: learning rate, averaged weights, and the state on disk."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from trainer.config import Optimiser
from trainer.errors import TrainerError

_LAST_RATE = 0.02
_ADVICE = "the last saved state is kept; lower optimiser.learning_rate, or use precision = 'fp32'"


def rate_at(iteration: int, iterations: int, settings: Optimiser) -> float:
    """Return the learning rate of an iteration (from 0).

    It rises over `warm_up` iterations, stays, then falls along a cosine from `decay_from` down to a fiftieth.
    """
    if iteration < settings.warm_up:
        return settings.learning_rate * (iteration + 1) / settings.warm_up
    start = settings.decay_from * iterations
    if iteration < start:
        return settings.learning_rate
    done = (iteration - start) / max(1.0, iterations - start)
    return settings.learning_rate * (_LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * done)))


class Optimisation:
    """Adam over a network, with a running average of its weights, as one state that can be saved.

    `first` is the iteration to continue from: that of `state`, or 0. groups: parameters to train, each group with
    `params` and the `factor` of its learning rate; None: all parameters at one rate.
    """

    def __init__(
        self,
        net: nn.Module,
        settings: Optimiser,
        iterations: int,
        state: dict[str, Any] | None,
        groups: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        self.net, self.settings, self.iterations = net, settings, iterations
        everything = [{"params": list(net.parameters()), "factor": 1.0}]
        self._adam = torch.optim.Adam([dict(group) for group in groups or everything], lr=settings.learning_rate)
        average = get_ema_multi_avg_fn(settings.average)  # type: ignore[no-untyped-call]
        self._average = AveragedModel(net, multi_avg_fn=average, use_buffers=True) if settings.average else None
        self.first = 0
        if state is not None:
            self._restore(state)

    def step(self, loss: torch.Tensor, iteration: int) -> float:
        """Take one step down `loss`, and return the norm of the gradient before clipping.

        Raises TrainerError if the loss or the gradient is not finite. The weights are then unchanged.
        """
        if not bool(torch.isfinite(loss)):
            raise TrainerError(f"the loss is {loss.item()} at iteration {iteration}: {_ADVICE}")
        self._adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        return self.descend(iteration)

    def descend(self, iteration: int) -> float:
        """Take one step along the gradients of the parameters, and return their norm before clipping.

        Parameters without a gradient do not change. Raises TrainerError as `step` does.
        """
        for group in self._adam.param_groups:
            group["lr"] = group.get("factor", 1.0) * rate_at(iteration, self.iterations, self.settings)
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), self.settings.clip_norm or math.inf)
        if not bool(torch.isfinite(norm)):
            raise TrainerError(f"the gradient's norm is {norm.item()} at iteration {iteration}: {_ADVICE}")
        self._adam.step()
        if self._average is not None:
            self._average.update_parameters(self.net)
        return norm.item()

    def result(self) -> nn.Module:
        """The network to sample and publish: the average if there is one."""
        module: nn.Module = self._average.module if self._average is not None else self.net
        return module

    def state(self, done: int) -> dict[str, Any]:
        """Return everything that a run needs to continue after `done` iterations."""
        state = {"iteration": done, "net": self.net.state_dict(), "adam": self._adam.state_dict()}
        return state | ({"average": self._average.state_dict()} if self._average is not None else {})

    def _restore(self, state: dict[str, Any]) -> None:
        self.first = state["iteration"]
        if self.first > self.iterations:
            raise TrainerError(
                f"the run has {self.first} iterations already, more than the {self.iterations} asked for"
            )
        self.net.load_state_dict(state["net"])
        self._adam.load_state_dict(state["adam"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
