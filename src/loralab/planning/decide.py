"""From a configuration to the planner and back: what a run would need, and memory=auto decided.

On a CPU memory=auto is fp32 and nothing is planned. On a GPU the planner decides before anything is loaded; what the
user has set (checkpointing, offloading, compiling) stays. Values that are the defaults count as open.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from loralab.memory import MemoryPolicy, Placement, num_graphs
from loralab.memory.plan import Fixed, Option, cards, choose
from loralab.memory.plan.coefficients import measured
from loralab.memory.plan.stages import preview_peak, train_peak
from loralab.memory.plan.text import remarks
from loralab.planning.subject import drawn_of, run_of, subject_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from loralab.denoiser import ClipDenoiser, Denoiser, Model
    from loralab.memory.plan import Peaks
    from loralab.memory.plan.stages import Run

log = logging.getLogger("loralab")


@dataclass(frozen=True)
class Decision:
    """How a run holds its base, and the peak of training that was predicted; None where none was."""

    placement: Placement
    train_peak_gib: float | None = None

    def summary(self, *, measured_gib: float | None, watch_gib: float | None = None) -> dict[str, Any]:
        """Gives what result.json says about memory: the peaks of training, and of what was drawn meanwhile."""
        placement = self.placement
        return {
            "precision": placement.kind or str(placement.dtype).removeprefix("torch."),
            "products": "low_bit" if placement.low_bit else "exact",
            "checkpointing": placement.checkpointing,
            "checkpointed_blocks": placement.checkpointed_blocks,
            "compile": placement.compile,
            "compiled_graphs": num_graphs() if placement.compile else 0,
            "attention": placement.attention,
            "offload_blocks": placement.offload_blocks,
            "offload_activations": placement.offload_activations,
            "predicted_train_peak_gib": None
            if self.train_peak_gib is None
            else round(self.train_peak_gib, 3),
            "measured_train_peak_gib": measured_gib,
            "measured_watch_peak_gib": watch_gib,
        }


def decided(config: DictConfig, policy: MemoryPolicy, denoiser: Model, *, device: torch.device) -> Decision:
    """Decides what a training configuration leaves open, and says so in the log.

    Args:
        config: of the run.
        policy: of the configuration.
        denoiser: of the configuration.
        device: where it trains.

    Raises:
        UserError: if nothing fits, with the least that would be needed.
    """
    if device.type != "cuda":
        return Decision(policy.on(device))
    peaks, run = subject_of(config, denoiser), run_of(config, denoiser)
    if policy.precision == "auto":
        policy.dtype(device)  # refuses a GPU without bf16
        card = cards.present(device, measured())
        choice = chosen(peaks, run, policy, card=card, budget_gib=budget_of(policy, device))
        policy = followed(policy, choice)
    placement = policy.on(device)
    return Decision(placement, train_peak(peaks, placement) / cards.GIB)


def chosen(
    peaks: Peaks, run: Run, policy: MemoryPolicy, *, card: cards.Card, budget_gib: float
) -> choose.Choice:
    """Chooses what a policy with precision=auto leaves open; blocks of a short run are not compiled unless asked for.

    Raises:
        UserError: if nothing fits.
    """

    def best(fixed: Fixed) -> choose.Choice:
        found = choose.options(peaks, run, choose.candidates(fixed, card), card=card)
        return choose.choose(found, budget_gib=budget_gib)

    fixed = fixed_of(policy)
    choice = best(fixed)
    if policy.compile == "auto" and not choose.pays_to_compile(choice.taken, run):
        return best(dataclasses.replace(fixed, compile=False))
    return choice


def drawing_placement(
    config: DictConfig, policy: MemoryPolicy, denoiser: Denoiser | ClipDenoiser, *, device: torch.device
) -> Placement:
    """Decides memory=auto where pictures are drawn only: the most exact precision that fits, unswapped if possible."""
    if device.type != "cuda" or policy.precision != "auto":
        return policy.on(device)
    policy.dtype(device)
    peaks, drawing = drawn_of(config, denoiser)
    card = cards.present(device, measured())
    fixed = dataclasses.replace(  # nothing is differentiated
        fixed_of(policy), checkpointing="none", checkpointed_blocks=1.0, offload_activations=False
    )
    found = [
        Option(placement, preview_peak(peaks, placement, drawing)[1] / cards.GIB, 0.0)
        for placement in choose.candidates(fixed, card)
    ]
    budget = budget_of(policy, device)
    fitting = [option for option in found if option.peak_gib <= budget]
    taken = min(fitting or found, key=lambda option: _exactness(option.placement))
    log.info("memory: %s", taken.placement.described())
    return settled(policy, taken).on(device)


def budget_of(policy: MemoryPolicy, device: torch.device) -> float:
    """Gives the GiB that may be used of a GPU: what was set, else what is free."""
    return policy.budget_gib or cards.free_gib(device)


def fixed_of(policy: MemoryPolicy) -> Fixed:
    """Says what of a policy is the user's; a precision that was chosen fixes the rest as well."""
    is_open = policy.precision == "auto"
    compiles = importlib.util.find_spec("triton") is not None or not torch.cuda.is_available()
    return Fixed(
        precision=None if is_open else policy.precision,
        low_bit={"low_bit": True, "exact": False}.get(policy.products),
        checkpointing=None if policy.checkpointing == "auto" else policy.checkpointing,
        checkpointed_blocks=None
        if is_open and policy.checkpointed_blocks == 1
        else policy.checkpointed_blocks,
        compile=compiles if policy.compile == "auto" else bool(policy.compile),
        attention=policy.attention,
        offload_blocks=policy.offload_blocks or (None if is_open else 0.0),
        offload_activations=policy.offload_activations or (None if is_open else False),
    )


def followed(policy: MemoryPolicy, choice: choose.Choice) -> MemoryPolicy:
    """Gives the policy with everything as chosen, and says so in the log, with the neighbours of what was taken."""
    for line in remarks(choice):
        log.info("memory: %s", line)
    return settled(policy, choice.taken)


def settled(policy: MemoryPolicy, option: Option) -> MemoryPolicy:
    """Gives the policy with everything as chosen."""
    placement = option.placement
    return dataclasses.replace(
        policy,
        precision=placement.kind or "bf16",
        checkpointing=placement.checkpointing,
        checkpointed_blocks=placement.checkpointed_blocks,
        compile=placement.compile,
        offload_blocks=placement.offload_blocks,
        offload_activations=placement.offload_activations,
        budget_gib=None,
    )


def _exactness(placement: Placement) -> tuple[bool, bool, int, float]:
    exactness = choose.EXACTNESS.index(placement.kind)
    return placement.kind == "nf4", placement.offload_blocks > 0, exactness, placement.offload_blocks
