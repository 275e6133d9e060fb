"""The sigmas that a checkpoint's own scheduler steps through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from loralab.errors import UserError
from loralab.flow import few_step_sigmas

TOLERANCE = 1e-4
"""Rounding in fp32 stays two orders below; another grid is off by hundredths."""


def pipeline_sigmas(
    config: Mapping[str, Any], *, num_steps: int, mu: float
) -> Float[Tensor, " num_steps_plus_1"]:
    """Gives sigmas from 1 down to 0 as a diffusers pipeline would, from a scheduler of its own.

    A scheduler changes when steps are set, which is why none is shared. `mu` counts only where the
    checkpoint's scheduler shifts by resolution; otherwise its constant shift does.

    Raises:
        UserError: if the installed scheduler does not step where a constant shift says, as versions of diffusers have
        not: few steps would then be drawn, and trained, at noise levels that no checkpoint was distilled for.
    """
    from diffusers import FlowMatchEulerDiscreteScheduler

    if num_steps < 1:
        raise UserError(f"num_steps={num_steps}: at least one step is needed.")
    scheduler = FlowMatchEulerDiscreteScheduler.from_config(dict(config))
    scheduler.set_timesteps(
        sigmas=torch.linspace(1, 1 / num_steps, num_steps, dtype=torch.float64).tolist(), mu=mu
    )
    sigmas: Tensor = scheduler.sigmas
    if not config.get("use_dynamic_shifting"):
        _require_grid(sigmas, few_step_sigmas(num_steps, shift=float(config.get("shift", 1.0))))
    return sigmas


def _require_grid(stepped: Tensor, expected: Float[Tensor, " num_steps_plus_1"]) -> None:
    if stepped.shape != expected.shape or (stepped.cpu() - expected).abs().max() > TOLERANCE:
        raise UserError(
            f"the installed diffusers steps through sigmas {_shown(stepped)}, and this checkpoint's scheduler means "
            f"{_shown(expected)}. Install the version of requirements.lock, and leave the checkpoint's scheduler alone"
        )


def _shown(sigmas: Tensor) -> str:
    return ", ".join(f"{sigma:.4g}" for sigma in sigmas.tolist())
