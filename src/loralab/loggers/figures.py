"""Tells the loggers what result.json says in the end, under the names that reports on W&B ask for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lightning.pytorch.loggers import Logger

from loralab import names

SCORES = ("style", "fewstep")
"""The parts of result.json that are scores; all else is logged while it comes about."""


def log_figures(loggers: Sequence[Logger], result: Mapping[str, Any], *, step: int) -> None:
    """Sends every finite number of the scores to all loggers; without scores it sends nothing."""
    found = {names.result(path): value for part in SCORES for path, value in _numbers(result.get(part), part)}
    for logger in loggers if found else ():
        logger.log_metrics(found, step=step)


def _numbers(value: Any, path: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers(inner, f"{path}.{key}")
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        yield path, float(value)
