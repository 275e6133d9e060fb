"""`metrics.jsonl`: one JSON object per line, `{"step": 10, "train/loss": 0.5}`, whole after every line.

A run that is resumed repeats the steps since its last checkpoint. Its first line therefore takes out what the
earlier part wrote about later steps, and about the same metrics at the same step, so that every metric has
one value per step.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from loralab.files import atomic_write


class JsonlLogger(Logger):
    """Appends metrics to a file, line by line; what is not finite is written as null."""

    def __init__(self, path: str | Path) -> None:
        """Opens nothing yet: the file appears with the first line."""
        super().__init__()
        self._path = Path(path)
        self._has_written = False

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self._path.stem

    @property
    def version(self) -> str:
        """There is one file per run."""
        return ""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Writes nothing: the run's config.yaml has them."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Appends one line and flushes it."""
        line = {"step": step or 0, **{name: _finite(value) for name, value in metrics.items()}}
        if not self._has_written:
            self._forget_later_than(line)
            self._has_written = True
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _forget_later_than(self, line: Mapping[str, Any]) -> None:
        """Keeps earlier steps, and other metrics at this step; creates the file where there is none."""
        kept = []
        for old in read_metrics(self._path) if self._path.exists() else []:
            if old["step"] == line["step"]:
                old = {name: value for name, value in old.items() if name == "step" or name not in line}
            if old["step"] <= line["step"] and len(old) > 1:
                kept.append(json.dumps(old) + "\n")
        atomic_write(self._path, "".join(kept))


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """Gives the lines of a metrics file; a last line that was torn by a crash is left out."""
    lines = []
    for text in Path(path).read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return lines


def _finite(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
