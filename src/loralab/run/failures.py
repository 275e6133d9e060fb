"""What a run says when it cannot go on through no fault of its settings' form: memory, space, a scheduler's notice."""

from __future__ import annotations

import dataclasses
import errno
import logging
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from loralab.errors import UserError
from loralab.memory.plan import cards, choose
from loralab.memory.plan.coefficients import measured
from loralab.planning.decide import fixed_of
from loralab.planning.report import ORDERING
from loralab.planning.subject import run_of, subject_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from loralab.denoiser import Model
    from loralab.memory import MemoryPolicy, Placement
    from loralab.training.folder import RunFolder

log = logging.getLogger("loralab")
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def out_of_memory(
    config: DictConfig,
    denoiser: Model,
    *,
    policy: MemoryPolicy,
    placement: Placement,
    folder: RunFolder,
    error: BaseException,
    step: int,
) -> UserError:
    """Says what is kept and which memory setting is predicted to need clearly less, as it is typed."""
    smaller = _smaller(config, denoiser, policy=policy, placement=placement)
    if smaller is None:
        way = "Nothing else needs less: lower dataset.resolutions, micro_batch_size or adapter.rank."
        typed = ""
    else:
        taken, less = smaller
        typed = " ".join(["", *settings_of(less.placement)])
        way = (
            f"The settings there ({less.placement.described()}) are predicted to need {less.peak_gib:.2f} GiB "
            f"instead of {taken.peak_gib:.2f}."
        )
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return UserError(f"out of memory after step {step}: {first} {kept(folder, more=typed)} {way}")


def no_space(folder: RunFolder, error: OSError) -> UserError:
    """Says which file could not be written, and what is kept."""
    place = error.filename or folder.root
    return UserError(
        f"{place} cannot be written ({error.strerror or error}). Free some space, or let the folder be written. "
        f"{kept(folder)}"
    )


def kept(folder: RunFolder, *, more: str = "") -> str:
    """Names the last snapshot, and the command that goes on from the checkpoint; `more` is added to it."""
    snapshots = folder.snapshots()
    if not (snapshots and folder.checkpoint.is_file()):
        return f"Nothing had been saved yet; start again with: python train.py ...{more}"
    return f"The last snapshot is {snapshots[-1]}; continue with: python train.py run.resume='{folder.root}'{more}."


def settings_of(placement: Placement) -> list[str]:
    """Gives a placement as overrides."""
    typed = [f"memory={placement.kind or 'bf16'}", f"memory.checkpointing={placement.checkpointing}"]
    if placement.checkpointing != "none":
        typed.append(f"memory.checkpointed_blocks={placement.checkpointed_blocks:g}")
    typed.append(f"memory.offload_blocks={placement.offload_blocks:g}")
    if placement.checkpointing != "none":
        typed.append(f"memory.offload_activations={str(placement.offload_activations).lower()}")
    return typed


def requeue(signal_name: str) -> None:
    """Puts a SLURM job back into the queue when SLURM has given notice (`#SBATCH --signal=USR1@120`)."""
    job = os.environ.get("SLURM_JOB_ID")
    if signal_name != "SIGUSR1" or job is None:
        return
    if (program := shutil.which("scontrol")) is None:
        log.warning("SLURM_JOB_ID=%s, but there is no scontrol on PATH: requeue the job yourself", job)
        return
    done = subprocess.run([program, "requeue", job], capture_output=True, text=True, check=False)
    if done.returncode:
        log.warning("scontrol requeue %s failed: %s", job, done.stderr.strip() or done.returncode)
    else:
        log.warning("SLURM job %s was put back into the queue", job)


def unwritable(root: Path, error: OSError) -> UserError:
    """Says that the run's folder cannot be made."""
    return UserError(
        f"hydra.run.dir={root} cannot be written ({error.strerror or error}). Give a folder that can, with some space."
    )


def _smaller(
    config: DictConfig, denoiser: Model, *, policy: MemoryPolicy, placement: Placement
) -> tuple[choose.Option, choose.Option] | None:
    """Gives what the run used and the fastest option that needs clearly less, both as predicted."""
    card = (
        cards.named(ORDERING)
        if placement.device.type != "cuda"
        else cards.present(placement.device, measured())
    )
    peaks, run = subject_of(config, denoiser), run_of(config, denoiser)
    is_open = dataclasses.replace(
        fixed_of(policy), precision=None, low_bit=None, checkpointing=None, checkpointed_blocks=None,
        offload_blocks=None, offload_activations=None,
    )  # fmt: skip
    (taken,) = choose.options(peaks, run, [placement], card=card)
    less = choose.cheaper(taken, choose.options(peaks, run, choose.candidates(is_open, card), card=card))
    return None if less is None else (taken, less)
