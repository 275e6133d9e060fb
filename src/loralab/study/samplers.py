"""Optuna's samplers and pruners by short names; a fresh sampler for each trial, seeded by its number.

With a seed that depends on the trial alone, a study that was interrupted draws on exactly as one that was not, and
sweepers side by side never repeat each other's draws.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from loralab.errors import UserError

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

SAMPLERS = {
    "tpe": "TPESampler",
    "gp": "GPSampler",
    "cmaes": "CmaEsSampler",
    "nsgaii": "NSGAIISampler",
    "qmc": "QMCSampler",
    "random": "RandomSampler",
}
PRUNERS = {
    "none": "NopPruner",
    "median": "MedianPruner",
    "percentile": "PercentilePruner",
    "hyperband": "HyperbandPruner",
    "asha": "SuccessiveHalvingPruner",
    "wilcoxon": "WilcoxonPruner",
}
SEQUENCES = ("qmc",)
"""Samplers that are one sequence: all trials must share its seed, the trial's number picks the point."""


def trial_seed(seed: int, number: int) -> int:
    """Gives the seed of a trial's draw."""
    return int(hashlib.sha256(f"{seed}:{number}".encode()).hexdigest()[:8], 16)


def build_sampler(
    name: str, options: Mapping[str, Any] | None, *, seed: int, number: int, is_conditional: bool = False
) -> BaseSampler:
    """Makes the sampler that draws trial `number`.

    Args:
        name: one of `SAMPLERS`.
        options: arguments of Optuna's class.
        seed: the study's.
        number: the trial's.
        is_conditional: whether some parameters exist only under others; TPE then models them by group.

    Raises:
        UserError: for options that the class does not have.
    """
    import optuna

    extra = {"group": True, "multivariate": True} if name == "tpe" and is_conditional else {}
    if name == "qmc":
        extra = {"scramble": True, "warn_asynchronous_seeding": False}
    chosen = seed if name in SEQUENCES else trial_seed(seed, number)
    arguments = {**extra, **(options or {}), "seed": chosen}
    return _made(getattr(optuna.samplers, SAMPLERS[name]), arguments, key=f"study.sampler_options of {name}")


def build_pruner(name: str, options: Mapping[str, Any] | None, *, num_steps: int) -> BasePruner:
    """Makes a pruner for trials of so many steps.

    Without options none prunes in the first quarter, where high learning rates look better than they will be.

    Raises:
        UserError: for options that Optuna's class does not have.
    """
    import optuna

    patience = {"n_startup_trials": 4, "n_warmup_steps": num_steps // 4}
    resources = {"min_resource": max(num_steps // 4, 1), "reduction_factor": 2}
    usual: Mapping[str, Mapping[str, Any]] = {
        "median": patience,
        "percentile": {"percentile": 33.0, **patience},
        "asha": resources,
        "hyperband": {**resources, "max_resource": num_steps},
    }
    arguments = {**usual.get(name, {}), **(options or {})}
    return _made(getattr(optuna.pruners, PRUNERS[name]), arguments, key=f"study.pruner_options of {name}")


def _made(kind: Any, arguments: Mapping[str, Any], *, key: str) -> Any:
    try:
        return kind(**arguments)
    except (TypeError, ValueError) as error:
        raise UserError(f"{key}: {error}") from error
