"""Several processes train one model, each on its share of every batch. 多进程训练。

    torchrun --nproc_per_node=2 -m scripts.train

torchrun starts them and numbers them by rank. All hold the same weights and make the same update
from the sum of their gradients. Rank 0 leads: it alone evaluates, decides, writes and speaks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gpt_teacher.errors import TrainingError
from gpt_teacher.loss import Batch

T = TypeVar("T")
PATIENCE = timedelta(hours=2)  # the others wait so long for a leader that evaluates or saves


class Team:
    """The processes of one run; this one is number `rank` of `size`. 一组进程。"""

    def __init__(
        self, rank: int = 0, size: int = 1, local_rank: int = 0, local_size: int = 1
    ) -> None:
        """Count all processes, and those on this machine; one on its own by default. 编号。"""
        self.rank, self.size = rank, size
        self.local_rank, self.local_size = local_rank, local_size

    @property
    def leads(self) -> bool:
        """Tell whether this is the process that writes and speaks. 是否为主进程。"""
        return self.rank == 0

    def share(self, batch: Batch) -> Batch | None:
        """Return every size-th row of a batch (B, T); None = there are too few. 自己的一份。"""
        share = batch.rows(slice(self.rank, None, self.size))
        return share if len(share.input_ids) else None

    def add_up(self, *values: float) -> list[float]:
        """Return each value summed over all processes. 求和。"""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total)
        return [float(value) for value in total]

    def add_up_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its sum over all processes; none counts as zeros. 梯度求和。"""
        if self.size == 1:
            return
        parameters = list(parameters)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([gradient.flatten() for gradient in gradients])  # one message, not dozens
        dist.all_reduce(flat)
        parts = torch.split(flat, [parameter.numel() for parameter in parameters])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter)

    def any(self, flag: bool) -> bool:
        """Tell whether any process says yes. 是否有进程同意。"""
        if self.size == 1:
            return flag
        votes: list[bool] = [False] * self.size
        dist.all_gather_object(votes, flag)
        return any(votes)

    def from_leader(self, value: T) -> T:
        """Return what the leader has given. 以主进程为准。"""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def copy_from_leader(self, tensors: Iterable[Tensor]) -> None:
        """Give all processes the leader's numbers. 复制主进程的权重。"""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor.detach(), src=0)


ALONE = Team()


@contextmanager
def team() -> Iterator[Team]:
    """Join the processes that torchrun has started with this one, if it has. 加入进程组。

    Raises TrainingError when another one has gone away.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    both = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(both, timeout=PATIENCE)
    local = (int(os.environ[name]) for name in ("LOCAL_RANK", "LOCAL_WORLD_SIZE"))
    try:
        yield Team(dist.get_rank(), dist.get_world_size(), *local)
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or "gloo" in str(error).lower()):
            raise
        raise TrainingError(
            "another process of this run has ended; what it said before tells why"
        ) from None
    finally:
        dist.destroy_process_group()
