"""The plan of a configuration, as it is printed."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from loralab.errors import UserError
from loralab.memory import MemoryPolicy
from loralab.memory.plan import Card, Choice, Fixed, Peaks, Run, cards, choose, stages
from loralab.memory.plan.roofline import Roofline
from loralab.memory.plan.text import Plan, lines
from loralab.planning.decide import chosen, fixed_of
from loralab.planning.subject import run_of, sample_of, subject_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from loralab.denoiser import Model

ORDERING = "H100 SXM"
"""Whose times put policies in order where no card is planned for; they are not printed then."""
NO_LIMIT = float("inf")


def planned(
    config: DictConfig,
    policy: MemoryPolicy,
    denoiser: Model,
    *,
    card: Card | None,
    budget_gib: float | None,
) -> list[str]:
    """Gives the lines of a plan.

    Args:
        config: a checked training configuration; its dataset is not read.
        policy: of the configuration.
        denoiser: of the configuration.
        card: to plan for; None says no times.
        budget_gib: what may be used of it; None for no limit.

    Raises:
        UserError: if memory=auto finds nothing that fits.
    """
    nominal, limit = card or cards.named(ORDERING), NO_LIMIT if budget_gib is None else budget_gib
    peaks, run, fixed = subject_of(config, denoiser), run_of(config, denoiser), fixed_of(policy)
    if fixed.precision is None:
        choice: Choice | None = chosen(peaks, run, policy, card=nominal, budget_gib=limit)
        assert choice is not None
        taken = choice.taken
    else:
        choice = _faster(peaks, run, nominal, fixed=fixed, limit=limit)
        own = choose.placed(fixed, nominal, precision=fixed.precision)
        taken = choose.options(peaks, run, [own], card=nominal)[0]
    roofline = Roofline(peaks, nominal)
    plan = Plan(
        model=config.model.name,
        size=str(sample_of(config)),
        card=None if card is None or fixed.precision == "fp32" else card.name,
        budget_gib=budget_gib,
        taken=taken,
        stages=stages.stages(peaks, taken.placement, run, roofline=roofline),
        choice=choice,
        chosen=fixed.precision is None,
    )
    return lines(plan, peaks, run)


def _faster(peaks: Peaks, run: Run, card: Card, *, fixed: Fixed, limit: float) -> Choice | None:
    """What the planner would take if everything were open; None where nothing fits."""
    is_open = dataclasses.replace(
        fixed,
        precision=None,
        low_bit=None,
        checkpointing=None,
        checkpointed_blocks=None,
        offload_blocks=None,
        offload_activations=None,
    )
    try:
        found = choose.options(peaks, run, choose.candidates(is_open, card), card=card)
        return choose.choose(found, budget_gib=limit)
    except UserError:
        return None
