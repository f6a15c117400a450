"""The processes of one training: one, or those that torchrun started (DDP; gloo on CPUs, nccl on GPUs).

Each process takes its share of every batch. Examples depend only on the seed and their index (trainer.data), losses are
means over examples, and DDP averages gradients. The result therefore does not depend on the number of processes.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from trainer.errors import TrainerError

Result = TypeVar("Result")


@dataclass(frozen=True)
class Processes:
    """This process, number `rank` of `size`, and number `local_rank` on its machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def main(self) -> bool:
        """Whether this is the process that writes to disk and to the terminal."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """The CUDA device of this process if there is one, else the CPU."""
        return torch.device("cuda", self.local_rank) if torch.cuda.is_available() else torch.device("cpu")

    def order(self, batch: int, first: int, iterations: int) -> list[int]:
        """Return the indices of this process's examples, its share of `batch`, in iterations `first` to `iterations`.

        Raises TrainerError if the batch is not divisible by the number of processes.
        """
        if batch % self.size:
            raise TrainerError(f"data.batch = {batch} cannot be shared evenly by {self.size} processes")
        share = batch // self.size
        return [i * batch + self.rank * share + k for i in range(first, iterations) for k in range(share)]

    def first(self, action: Callable[[], Result]) -> Result:
        """Run `action` in the main process only, and return its result in every process."""
        if self.size == 1:
            return action()
        box = [action() if self.main else None]
        dist.broadcast_object_list(box, src=0)
        return box[0]  # type: ignore[return-value]  # the main process has filled it

    def mean(self, terms: Mapping[str, Tensor]) -> dict[str, float]:
        """Average each scalar over the processes. Every process must call it with the same names."""
        values = torch.stack([term.detach().float() for term in terms.values()])
        if self.size > 1:
            dist.all_reduce(values)
        return dict(zip(terms, (values / self.size).tolist(), strict=True))

    def parallel(self, net: nn.Module) -> nn.Module:
        """Return `net`, or `net` wrapped so that gradients are averaged. The parameters stay those of `net`.

        Raises TrainerError for batch norm on CPUs: its statistics would cover a share of the batch.
        """
        if self.size == 1:
            return net
        if any(isinstance(module, nn.BatchNorm2d) for module in net.modules()):
            raise TrainerError(
                "batch norm takes its statistics over the whole batch, which several processes do not share: "
                "train in one process, or with norm = 'instance' (styles) or body = 'subpixel' (factors)"
            )
        ids = [self.local_rank] if self.device.type == "cuda" else None
        return DistributedDataParallel(net, device_ids=ids)


ONE_PROCESS = Processes()
"""A training in one process."""


@contextmanager
def joined() -> Iterator[Processes]:
    """Join the processes that the environment of torchrun describes; without it, yield this process alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ONE_PROCESS
        return
    processes = Processes(int(os.environ["RANK"]), size, int(os.environ["LOCAL_RANK"]))
    if processes.device.type == "cuda":
        torch.cuda.set_device(processes.device)
    dist.init_process_group("nccl" if processes.device.type == "cuda" else "gloo")
    try:
        yield processes
    finally:
        dist.destroy_process_group()
