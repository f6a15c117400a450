"""The method of Gatys, Ecker and Bethge (2016): L-BFGS on the pixels of one picture, without a network."""

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import safetensors.torch
import torch
from torch import Tensor

from trainer.objective.style_objective import StyleObjective

Start = Literal["noise", "content"]


@dataclass(frozen=True)
class Optimised:
    """The result of an optimisation.

    picture: float (1, 3, H, W) in [0, 1]. objective: the least total so far after each iteration; one iteration is one
    value and gradient of the objective, line search included. seconds: time since the start, after each iteration.
    """

    picture: Tensor
    objective: list[float]
    seconds: list[float]


class _EnoughError(Exception):
    """Ends the optimisation after the requested iterations."""


def optimise(
    objective: StyleObjective, content_image: Tensor, iterations: int, start: Start = "noise", seed: int = 0
) -> Optimised:
    """Stylize a content image, float (1, 3, H, W) in [0, 1], starting from white noise (as Gatys et al.) or from it."""
    content = objective.content(content_image)
    if start == "noise":
        noise = torch.rand(content_image.shape, generator=torch.Generator().manual_seed(seed))
        picture = noise.to(content_image.device)
    else:
        picture = content_image.clone(memory_format=torch.contiguous_format)
    picture.requires_grad_()
    best, least = picture.detach().clone(), float("inf")
    totals: list[float] = []
    seconds: list[float] = []
    optimiser = torch.optim.LBFGS(
        [picture],
        max_iter=iterations,
        max_eval=2 * iterations,
        history_size=20,
        tolerance_grad=0.0,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )
    began = time.perf_counter()

    def evaluate() -> Tensor:
        nonlocal best, least
        if len(totals) == iterations:
            raise _EnoughError
        optimiser.zero_grad(set_to_none=True)
        total = torch.stack(list(objective.terms(picture, content).values())).sum()
        total.backward()  # type: ignore[no-untyped-call]
        if total.item() < least:
            best, least = picture.detach().clone(), total.item()
        totals.append(least)
        seconds.append(time.perf_counter() - began)
        return total

    try:
        while len(totals) < iterations:
            optimiser.step(evaluate)  # type: ignore[no-untyped-call]
    except _EnoughError:
        pass
    return Optimised(best.clamp(0.0, 1.0), totals, seconds)


def optimise_once(
    folder: Path, objective: StyleObjective, content_image: Tensor, iterations: int, start: Start
) -> Optimised:
    """Return the result of `optimise`, kept in `folder`, so that a repeated comparison does not compute it again."""
    asked = f"{objective.identity} {iterations} {start} {tuple(content_image.shape)}".encode()
    digest = hashlib.sha256(asked + content_image.contiguous().numpy().tobytes()).hexdigest()
    path = folder / f"{digest[:16]}.safetensors"
    if path.exists():
        kept = safetensors.torch.load_file(path)
        return Optimised(kept["picture"], kept["objective"].tolist(), kept["seconds"].tolist())
    result = optimise(objective, content_image, iterations, start)
    folder.mkdir(parents=True, exist_ok=True)
    numbers = {name: torch.tensor(getattr(result, name), dtype=torch.float64) for name in ("objective", "seconds")}
    temporary = path.with_suffix(".tmp")
    safetensors.torch.save_file({"picture": result.picture.contiguous(), **numbers}, temporary)
    temporary.replace(path)
    return result
