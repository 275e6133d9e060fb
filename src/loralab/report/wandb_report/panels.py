"""Panels that every comparison has: validation curves per noise level, and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from loralab import names
from loralab.study.settings import VALIDATION_LOSS

BANDS = "validation_bands."


def logged(metric: str) -> str:
    """Gives what W&B calls a number of result.json: the validation loss has a curve, others are told at the end."""
    return names.VALIDATION if metric == VALIDATION_LOSS else names.result(metric)


def levels_of(metrics: Iterable[Mapping[str, float]]) -> list[str]:
    """Gives the noise levels that runs were validated at, from the dotted paths of their results."""
    keys = {key for each in metrics for key in each if key.startswith(BANDS)}
    return sorted({key.removeprefix(BANDS).rpartition(".")[0] for key in keys})


def curves(levels: Iterable[str]) -> list[Any]:
    """Gives the validation curve and one for each noise level."""
    import wandb_workspaces.reports.v2 as wr

    titled = [("mean over sigma", names.VALIDATION)]
    titled += [(f"sigma {level}", names.at_sigma(names.VALIDATION, level)) for level in levels]
    return [wr.LinePlot(title=f"Validation loss, {title}", x="Step", y=[metric]) for title, metric in titled]


def pictures() -> Any:
    """Gives what the runs drew, beside each other."""
    import wandb_workspaces.reports.v2 as wr

    return wr.MediaBrowser(title="Before and after", media_keys=[names.PREVIEW], num_columns=3)


def param_key(name: str, values: Iterable[Any]) -> str:
    """Gives where a run's configuration on W&B has a parameter; the choice of a group is known by its class."""
    is_group = "." not in name and any(isinstance(value, str) for value in values)
    return f"{name}._target_" if is_group else name
