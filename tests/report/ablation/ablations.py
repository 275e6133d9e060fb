"""Ablations as sweeps leave them, filled by hand: a study in its folder, with the accidents that happen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import IntDistribution
from optuna.trial import TrialState, create_trial

from loralab.study import attrs
from loralab.study.ablation import Ablation, cells_of
from loralab.study.ablation.design import NUM_BITS

DISTRIBUTIONS = {"cell": IntDistribution(0, 2**NUM_BITS - 1), "seed": IntDistribution(0, 2**31 - 1)}
Value = Callable[[str, int], "float | str | None"]
"""What a cell gives under a seed: a figure, why it failed, or None where it was not run."""


def filled(folder: Path, ablation: Ablation, value: Value) -> Path:
    """Makes the study of an ablation whose metrics all have the same value; gives its folder."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True)
    study = optuna.create_study(
        study_name=folder.name,
        storage=f"sqlite:///{folder / 'study.db'}",
        directions=list(ablation.metrics.values()),
    )
    settings = {
        "name": folder.name, "model": "nano_klein", "objectives": dict(ablation.metrics), "safety": "strict",
        "overrides": list(ablation.overrides), "lengths": None, "recipe": {},
        "ablation": {"definition": asdict(ablation), "arguments": ["-m", f"ablation={ablation.name}"]},
    }  # fmt: skip
    study.set_user_attr(attrs.SETTINGS, settings)
    again = ("baseline", *ablation.confirm.cells)
    trials = [
        _trial(folder, cell.number, seed=seed, metrics=ablation.metrics, outcome=outcome)
        for cell in cells_of(ablation)
        for seed in (*ablation.seeds, *(ablation.confirm.seeds if cell.name in again else ()))
        if (outcome := value(cell.name, seed)) is not None
    ]
    study.add_trials(trials)
    return folder


def _trial(
    folder: Path, number: int, *, seed: int, metrics: Mapping[str, str], outcome: float | str
) -> optuna.trial.FrozenTrial:
    noted: dict[str, Any] = {attrs.FOLDER: str(folder / "trials" / f"{seed:04d}")}
    params = {"cell": number, "seed": seed}
    if isinstance(outcome, str):
        return create_trial(
            state=TrialState.FAIL, params=params, distributions=DISTRIBUTIONS,
            user_attrs={**noted, attrs.ERROR: outcome},
        )  # fmt: skip
    noted |= {
        attrs.METRICS: dict.fromkeys(metrics, outcome),
        attrs.CURVE: [[0, 1.0], [20, 0.6], [40, outcome]],
        attrs.COST: {"wall_time_s": 30.0, "train_s": 20.0, "peak_memory_gib": 1.5},
    }
    return create_trial(
        state=TrialState.COMPLETE, values=[outcome] * len(metrics), params=params, distributions=DISTRIBUTIONS,
        user_attrs=noted,
    )  # fmt: skip
