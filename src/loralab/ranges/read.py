"""Reads `sweeps/<model>.yaml`: safe ranges with their sources, what a sweep searches, and what its trials have besides.

ranges:
  optimizer.lr:                                # a key of a run's configuration; entries are tried from the top
    - when: {optimizer._target_: [torch.optim.AdamW]}
      low: {value: 2.0e-5, source: "...", search_only: true}
      high: {value: 1.0e-4, source: "..."}
      recommended: {value: 5.0e-5, source: "..."}
      log: true
search: {optimizer.lr: safe, adapter.rank: "choice(8,16)"}
when: {optimizer: {prodigy: {optimizer.d_coef: "interval(0.5,2)"}}}   # searched only under a choice of another
overrides: [schedule=constant]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from loralab.errors import UserError, joined
from loralab.ranges.checks import problems_of
from loralab.ranges.safe import Bound, SafeRange

SWEEPS = Path(__file__).parents[3] / "sweeps"
SAFE = "safe"
"""What `search` says for a whole safe range."""


@dataclass(frozen=True)
class Sweep:
    """A file of `sweeps/`.

    Attributes:
        name: of the file, which is the model's.
        ranges: safe ranges; of several for one key the first whose condition holds counts.
        search: what is searched by key, in Hydra's grammar or `safe`.
        when: what is searched only under a choice of another setting: {key: {choice: {key: grammar}}}.
        overrides: what every trial has besides.
    """

    name: str
    ranges: tuple[SafeRange, ...]
    search: Mapping[str, str]
    when: Mapping[str, Mapping[str, Mapping[str, str]]]
    overrides: tuple[str, ...]


def read_sweep(model_or_path: str | Path) -> Sweep:
    """Reads a file of `sweeps/` by its name, or any such file by its path, which ends in .yaml.

    Raises:
        UserError: if there is no such file, or naming everything in it that is wrong.
    """
    path = _path(model_or_path)
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in SWEEPS.glob("*.yaml")))
        raise UserError(f"sweep={model_or_path}: there is no {path}; known are {known}, or give a path")
    content = _content(path)
    return Sweep(
        name=path.stem,
        ranges=tuple(_ranges(content.get("ranges", {}))),
        search=dict(content.get("search", {})),
        when=dict(content.get("when", {})),
        overrides=tuple(content.get("overrides", ())),
    )


def read_ranges(model: str) -> tuple[SafeRange, ...]:
    """Gives the safe ranges of a model; none where `sweeps/` has no file of its name, as for a model of one's own."""
    return read_sweep(model).ranges if _path(model).is_file() else ()


def _path(model_or_path: str | Path) -> Path:
    path = Path(model_or_path)
    return path if path.suffix == ".yaml" else SWEEPS / f"{model_or_path}.yaml"


def _content(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UserError(f"{path} is no YAML: {error}") from error
    if problems := list(problems_of(content)):
        raise UserError(f"{path} cannot be used:\n" + joined(problems))
    assert isinstance(content, dict)
    return content


def _ranges(by_key: Mapping[str, list[dict[str, Any]]]) -> Iterator[SafeRange]:
    for key, entries in by_key.items():
        for entry in entries:
            bounds = {name: _bound(entry[name]) for name in ("low", "high", "recommended") if name in entry}
            when = {k: tuple(v) if isinstance(v, list) else (v,) for k, v in entry.get("when", {}).items()}
            yield SafeRange(key=key, is_log=entry.get("log", False), when=when, **bounds)


def _bound(given: Mapping[str, Any]) -> Bound:
    return Bound(given["value"], given["source"], is_search_only=given.get("search_only", False))
