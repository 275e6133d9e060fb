"""From a definition to its cells: the baseline first, then what the design compares it with."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from loralab.errors import UserError, joined
from loralab.study.ablation.definition import BASELINE, EXPECTATIONS, Ablation, Factor
from loralab.study.ablation.fraction import fraction_of

NUM_BITS = 48
"""Of a cell's number: storages keep numbers as floats, which are exact up to 53 bits."""


@dataclass(frozen=True)
class Cell:
    """One combination of levels.

    Attributes:
        name: `baseline`, or the levels that differ from it.
        levels: {factor: level}.
        overrides: what they set.
    """

    name: str
    levels: Mapping[str, str]
    overrides: tuple[str, ...]

    @property
    def number(self) -> int:
        """What a study knows it by: a digest of what it sets, so that a changed definition is another cell."""
        content = json.dumps(sorted(self.overrides)).encode()
        return int.from_bytes(hashlib.sha256(content).digest()[:8], "big") >> (64 - NUM_BITS)


def cells_of(ablation: Ablation) -> tuple[Cell, ...]:
    """Gives the cells of a design, the baseline first.

    Raises:
        UserError: for cells that set the same, a fraction that cannot be, and claims about cells that there are not.
    """
    points = {
        "one_at_a_time": lambda: _one_at_a_time(ablation.factors),
        "factorial": lambda: _every_combination(ablation.factors),
        "fractional": lambda: fraction_of(ablation).points,
    }[ablation.design]()
    baseline = {factor.name: factor.baseline for factor in ablation.factors}
    ordered = [baseline, *(point for point in points if point != baseline)]
    cells = tuple(_cell(point, ablation.factors) for point in ordered)
    if problems := [*_same(cells), *_unknown(ablation, cells)]:
        raise UserError(f"ablation={ablation.name} cannot run:\n{joined(problems)}")
    return cells


def _one_at_a_time(factors: tuple[Factor, ...]) -> list[dict[str, str]]:
    baseline = {factor.name: factor.baseline for factor in factors}
    return [{**baseline, factor.name: level} for factor in factors for level in factor.levels]


def _every_combination(factors: tuple[Factor, ...]) -> list[dict[str, str]]:
    names = [factor.name for factor in factors]
    combinations = itertools.product(*(factor.levels for factor in factors))
    return [dict(zip(names, levels, strict=True)) for levels in combinations]


def _cell(point: Mapping[str, str], factors: tuple[Factor, ...]) -> Cell:
    changed = [f"{each.name}={point[each.name]}" for each in factors if point[each.name] != each.baseline]
    lines = tuple(line for factor in factors for line in factor.levels[point[factor.name]])
    return Cell(", ".join(changed) or BASELINE, dict(point), lines)


def _same(cells: tuple[Cell, ...]) -> Iterator[str]:
    for one, other in itertools.combinations(cells, 2):
        if sorted(one.overrides) == sorted(other.overrides):
            yield f"cells {one.name!r} and {other.name!r} set the same: {' '.join(one.overrides)}"


def _unknown(ablation: Ablation, cells: tuple[Cell, ...]) -> Iterator[str]:
    """Finds cells and metrics that are named and that there are not."""
    names = [cell.name for cell in cells]
    known = "; ".join(names)
    for name in ablation.confirm.cells:
        if name not in names:
            yield f"ablation.confirm.cells: there is no cell {name!r} ({known})"
    if (claim := ablation.claim) is None:
        return
    if claim.metric not in ablation.metrics:
        yield f"ablation.claim.metric={claim.metric} is none of ablation.metrics ({', '.join(ablation.metrics)})"
    if not claim.expected:
        yield "ablation.claim.expected is empty; say which cell is better or worse than which"
    if not 0 <= claim.margin < 1:
        yield f"ablation.claim.margin={claim.margin} must be a share of the mean, from 0 to below 1"
    for each in claim.expected:
        yield from (
            f"ablation.claim.expected: there is no cell {name!r} ({known})"
            for name in (each.cell, each.against)
            if name not in names
        )
        if each.expects not in EXPECTATIONS:
            yield f"ablation.claim.expected: {each.expects} must be better or worse"
