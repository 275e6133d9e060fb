"""The sigmas that a checkpoint's own scheduler steps through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from loralab.errors import UserError


def pipeline_sigmas(
    config: Mapping[str, Any], *, num_steps: int, mu: float
) -> Float[Tensor, " num_steps_plus_1"]:
    """Gives sigmas from 1 down to 0 as a diffusers pipeline would, from a scheduler of its own.

    A scheduler changes when steps are set, which is why none is shared. `mu` counts only where the
    checkpoint's scheduler shifts by resolution; otherwise its constant shift does.
    """
    from diffusers import FlowMatchEulerDiscreteScheduler

    if num_steps < 1:
        raise UserError(f"num_steps={num_steps}: at least one step is needed.")
    scheduler = FlowMatchEulerDiscreteScheduler.from_config(dict(config))
    scheduler.set_timesteps(
        sigmas=torch.linspace(1, 1 / num_steps, num_steps, dtype=torch.float64).tolist(), mu=mu
    )
    return scheduler.sigmas
