"""`python -m loralab plan`: what a run would need and how long it would take, without loading a weight.

It takes the overrides of train.py, and two of its own:
    plan.card="RTX 4090"    a card that need not be here; by default the one that is, else none and no times
    plan.budget_gib=24      what may be used of it; by default memory.budget_gib, else what is free
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from loralab.cli.compose import composed_run
from loralab.config import check, model_arguments, resumed
from loralab.errors import UserError

if TYPE_CHECKING:
    from loralab.memory.plan import Card

OWN = ("card", "budget_gib")


def main(arguments: Sequence[str]) -> None:
    """Prints the plan."""
    from loralab.planning import settle_without_pictures

    own = _own(arguments)
    config = configured([argument for argument in arguments if not argument.startswith("plan.")])
    for line in settle_without_pictures(config, why="a plan reads no pictures"):
        print(line)
    for line in plan_lines(config, card=own.get("card"), budget_gib=own.get("budget_gib")):
        print(line)


def plan_lines(config: DictConfig, *, card: str | None, budget_gib: str | None) -> list[str]:
    """Gives the plan of a checked configuration, for a card by name and a budget as typed, or what is here.

    Raises:
        UserError: if memory=auto finds nothing that fits, for a card that is not known, and for a bad budget.
    """
    from hydra.utils import instantiate

    from loralab.planning import planned
    from loralab.quiet import quiet_libraries

    quiet_libraries()
    policy = instantiate(config.memory)
    instantiate(config.adapter)  # refuses what cannot be
    found, free = _card(card)
    budget = _budget(budget_gib) or policy.budget_gib or free
    denoiser = instantiate(model_arguments(config))
    return planned(config, policy, denoiser, card=found, budget_gib=budget)


def configured(arguments: Sequence[str]) -> DictConfig:
    """Gives the checked configuration of train.py under these overrides; the dataset need not be named."""
    config = composed_run(resumed(list(arguments)))
    if OmegaConf.is_missing(config.dataset, "root"):
        config.dataset.root = "."  # nothing is read from it
    if config.safety == "strict":
        config.safety = "warn"  # a plan harms nothing
    check(config)
    return config


def _own(arguments: Sequence[str]) -> dict[str, str]:
    """Gives the settings of the plan itself."""
    typed = [argument.removeprefix("plan.") for argument in arguments if argument.startswith("plan.")]
    own = {key: value.strip("'\"") for key, _, value in (argument.partition("=") for argument in typed)}
    if unknown := [key for key in own if key not in OWN]:
        raise UserError(f"plan.{unknown[0]} is no setting; known are plan.card and plan.budget_gib")
    return own


def _card(name: str | None) -> tuple[Card | None, float | None]:
    """Gives the card to plan for, and what is free of it in GiB."""
    import torch

    from loralab.memory.plan import cards
    from loralab.memory.plan.coefficients import measured

    if name is not None:
        card = cards.named(name)
        return card, card.usable_gib
    if not torch.cuda.is_available():
        return None, None
    device = torch.device("cuda", 0)
    return cards.present(device, measured()), cards.free_gib(device)


def _budget(typed: str | None) -> float | None:
    if typed is None:
        return None
    try:
        budget = float(typed)
    except ValueError:
        budget = math.nan
    if not budget > 0:
        raise UserError(f"plan.budget_gib={typed} must be a number above 0")
    return budget
