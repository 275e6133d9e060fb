"""What some optimizers of `conf/optimizer` need besides their constructor.

The files there name the maintained classes themselves (torch, bitsandbytes, prodigyopt, transformers). Here is the one
that must be switched on (schedule-free) and the two questions a run asks of any of them: which weights are meant for
use, and how large the rate is now.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

if TYPE_CHECKING:
    from schedulefree import AdamWScheduleFree


def adamw_schedule_free(params: Iterable[Any], **arguments: Any) -> AdamWScheduleFree:
    """Gives a schedule-free AdamW (Defazio et al. 2024, arXiv:2405.15682) that is ready to train.

    It holds gradients' points y in the parameters while training and the average x is what is meant for use: read the
    parameters inside `averaged(optimizer)` for validation, snapshots and export.
    """
    from schedulefree import AdamWScheduleFree

    optimizer = AdamWScheduleFree(params, **arguments)
    optimizer.train()
    return optimizer


@contextlib.contextmanager
def averaged(optimizer: Optimizer) -> Iterator[None]:
    """Puts the weights meant for use in place for a block: a schedule-free optimizer's average, else what is there.

    Afterwards the training weights are back bit for bit, so that validating does not change a run.
    """
    from schedulefree import AdamWScheduleFree

    if not isinstance(optimizer, AdamWScheduleFree) or not optimizer.param_groups[0]["train_mode"]:
        yield
        return
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    kept = [parameter.detach().clone() for parameter in parameters]
    optimizer.eval()
    try:
        yield
    finally:
        optimizer.train()
        with torch.no_grad():
            for parameter, values in zip(parameters, kept, strict=True):
                parameter.copy_(values)


def effective_lr(optimizer: Optimizer) -> float:
    """Gives the rate of the next update: lr, times the distance estimate d where the optimizer keeps one (Prodigy)."""
    group = optimizer.param_groups[0]
    return float(group["lr"]) * float(group.get("d", 1.0))


def gradient_norm(optimizer: Optimizer) -> Float[Tensor, " "]:
    """Gives the norm of the whole gradient, on its device."""
    weights = (weight for group in optimizer.param_groups for weight in group["params"])
    return torch.nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])


def scale_lr(optimizers: Sequence[Optimizer], schedules: Sequence[LRScheduler], factor: float) -> None:
    """Multiplies the learning rate from now on, under whatever schedule; both keep it in their own states."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] *= factor
            if "initial_lr" in group:
                group["initial_lr"] *= factor
    for schedule in schedules:
        schedule.base_lrs = [rate * factor for rate in schedule.base_lrs]
