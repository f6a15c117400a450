"""The processes of one training: one, or those that torchrun started (DDP; gloo on CPUs, nccl on GPUs).

Each takes its share of every batch. Examples depend on the seed and their number alone (trainer.data), losses are means
over examples, and DDP averages gradients: so any number of processes walks the same way.
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
    """This process among `size`: number `rank` of all, number `local_rank` on its machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def main(self) -> bool:
        """Whether this is the process that writes to disk and to the terminal."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """This process's CUDA device where there is one, else the CPU."""
        return torch.device("cuda", self.local_rank) if torch.cuda.is_available() else torch.device("cpu")

    def order(self, batch: int, first: int, iterations: int) -> list[int]:
        """The numbers of this process's examples in iterations `first` to `iterations`, its share of `batch` in each.

        Raises TrainerError where the batch cannot be shared out evenly.
        """
        if batch % self.size:
            raise TrainerError(f"data.batch = {batch} cannot be shared evenly by {self.size} processes")
        share = batch // self.size
        return [i * batch + self.rank * share + k for i in range(first, iterations) for k in range(share)]

    def first(self, action: Callable[[], Result]) -> Result:
        """What `action` returns in the main process; it runs in no other."""
        if self.size == 1:
            return action()
        box = [action() if self.main else None]
        dist.broadcast_object_list(box, src=0)
        return box[0]  # type: ignore[return-value]  # the main process has filled it

    def mean(self, terms: Mapping[str, Tensor]) -> dict[str, float]:
        """Each scalar, averaged over the processes; every process must ask, for the same names."""
        values = torch.stack([term.detach().float() for term in terms.values()])
        if self.size > 1:
            dist.all_reduce(values)
        return dict(zip(terms, (values / self.size).tolist(), strict=True))

    def parallel(self, net: nn.Module) -> nn.Module:
        """`net` itself, or with its gradients averaged over the processes. The parameters stay those of `net`.

        Raises TrainerError for batch norm on CPUs: its statistics would be those of a share.
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
"""A training that nothing is shared with."""


@contextmanager
def joined() -> Iterator[Processes]:
    """The processes that torchrun's environment tells of; this one alone where it tells of none."""
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
