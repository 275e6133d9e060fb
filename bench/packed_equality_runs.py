"""The runs of `bench/packed_equality.py`: its trials, where they are trained, and how at once or picture by picture."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tests.packed.trials import Outcome, Trial

    from loralab.memory import Placement


def placement_of(precision: str, device: torch.device) -> Placement:
    """Gives a base in a precision, with TF32 off and nothing that a clock would choose."""
    from loralab.memory import MemoryPolicy

    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    attention = "efficient" if device.type == "cuda" else "auto"
    policy = MemoryPolicy(precision=precision, checkpointing="none", compile=False, attention=attention)
    return policy.on(device)


def trials_of(optimizer: str, *, num_steps: int, prompt_width: int) -> list[Trial]:
    """Gives the trials of the test, without dropout."""
    from tests.packed.trials import TRIALS

    return [
        dataclasses.replace(
            trial,
            spec=dataclasses.replace(trial.spec, dropout=0.0),
            optimizer=optimizer,
            num_steps=num_steps,
            prompt_width=prompt_width,
        )
        for trial in TRIALS
    ]


def trained_together(folder: Path, trials: list[Trial], placement: Placement) -> list[Outcome]:
    """Gives what all trials leave that train at once.

    Raises:
        Exception: what the shared network has failed by, or that a trial has.
    """
    from tests.packed.trials import base_of, klein, together

    from loralab.run.pack import SWITCH_S

    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        base = base_of(klein(folder, placement), trials, width=len(trials), dtype=placement.dtype)
        outcomes, meeting = together(base, trials)
    finally:
        sys.setswitchinterval(interval)
    if meeting.cause is not None:
        raise meeting.cause
    if not all(outcome.state for outcome in outcomes):
        raise RuntimeError("a packed trial left no adapter; the console says why")
    return outcomes


class OneByOne:
    """A denoiser that answers for each picture in a pass of its own."""

    def __init__(self, denoiser: Any) -> None:
        """Is asked in place of a denoiser."""
        self._denoiser = denoiser

    def __getattr__(self, name: str) -> Any:
        """Gives what the denoiser has under any other name."""
        return getattr(self._denoiser, name)

    def velocity(self, noisy: Tensor, *, sigma: Tensor, prompt_embeds: Any) -> Tensor:
        """Predicts noise - data."""
        rows = [slice(index, index + 1) for index in range(len(noisy))]
        return torch.cat(
            [
                self._denoiser.velocity(noisy[row], sigma=sigma[row], prompt_embeds=prompt_embeds[row])
                for row in rows
            ]
        )
