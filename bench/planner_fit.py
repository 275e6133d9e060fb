"""Coefficients of the planner from measured cases (bench/planner_error.py --fit).

A case's peak is linear in `inside` and `kept` of its way of computing, and its time in `traffic` and `launch`; what
stands in front of them comes from the planner itself. Ways without a case take over what a similar one has.
"""

from __future__ import annotations

import copy
import dataclasses
from collections import defaultdict
from typing import Any

import numpy as np
from scipy.optimize import linprog, nnls

from loralab.memory.placement import Placement
from loralab.memory.plan import Peaks
from loralab.memory.plan.coefficients import compilation, way_of
from loralab.memory.plan.roofline import Roofline

GIB = 2**30
AIM = 1.015
PEAKS = ("full", "selective", "kept")
NEAR = 50.0
"""About where coefficients are: the peak is linear there, while without any activation gradients would be larger."""
IDLE = 0.1
"""Share of a step above which the device waits for the host."""
Case = tuple[dict[str, Any], Peaks, Placement, Roofline]


def fitted(content: dict[str, Any], cases: list[Case]) -> dict[str, Any]:
    """Gives the content of measured.json with new coefficients where there are cases."""
    content = copy.deepcopy(content)
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        groups[f"{case[1].subject.blueprint.family}/{way_of(case[2])}"].append(case)
    for way in content["ways"].values():
        way["num_cases"] = dict.fromkeys(way["num_cases"], 0)
    for key, group in groups.items():
        own = content["ways"][key]
        _fit_peak(own, group)
        _fit_time(own, group, content["efficiency"])
        for _, _, placement, _ in group:
            own["num_cases"][placement.checkpointing] += 1
    for key, way in content["ways"].items():
        if key not in groups and (other := _similar(groups, key)):
            shared = ("inside", "kept", "traffic", "launch")
            way |= {name: copy.copy(content["ways"][other][name]) for name in shared}
    return content


def _fit_peak(own: dict[str, Any], cases: list[Case]) -> None:
    """Finds coefficients with the smallest largest relative error about AIM, and of those the least.

    What full and selective checkpointing have inside a block is one number where only one of them was measured.
    """
    modes = {placement.checkpointing for _, _, placement, _ in cases}
    apart = {"full", "selective"} <= modes
    unknowns = [("full",), ("selective",), ("kept",)] if apart else [("full", "selective"), ("kept",)]
    matrix, rest = [], []
    for row, peaks, placement, _ in cases:
        at_rest = _peak(peaks, placement, own, {})
        slopes = [
            _peak(peaks, placement, own, dict.fromkeys(names, NEAR + 1.0)) - at_rest for names in unknowns
        ]
        measured = row["peak_gib"] * GIB
        matrix.append(np.array(slopes) / measured)
        rest.append(AIM - (at_rest - NEAR * sum(slopes)) / measured)
    found = linprog(
        [1e-9] * len(unknowns) + [1],  # minimise e over (coefficients, e): |matrix coefficients - rest| <= e
        A_ub=np.block(
            [[np.array(matrix), -np.ones((len(rest), 1))], [-np.array(matrix), -np.ones((len(rest), 1))]]
        ),
        b_ub=np.concatenate([rest, np.negative(rest)]),
        bounds=[(0, None)] * (len(unknowns) + 1),
    )
    values = {
        name: round(float(value), 2)
        for names, value in zip(unknowns, found.x, strict=False)
        for name in names
    }
    partly = any(placement.checkpointed_blocks < 1 for _, _, placement, _ in cases)
    if "none" in modes or partly:
        own["kept"] = values["kept"]
    if modes != {"none"}:
        own["inside"] = {mode: values[mode] for mode in own["inside"]}


def _peak(peaks: Peaks, placement: Placement, own: dict[str, Any], changes: dict[str, float]) -> float:
    """The peak under coefficients that are NEAR, but for some changes."""
    values = dict.fromkeys(PEAKS, NEAR) | changes
    family = f"{peaks.subject.blueprint.family}/{way_of(placement)}"
    way = dataclasses.replace(
        peaks.measured.ways[family],
        kept=values["kept"],
        inside={mode: values[mode] for mode in own["inside"]},
    )
    changed = copy.copy(peaks)
    changed.measured = dataclasses.replace(peaks.measured, ways={**peaks.measured.ways, family: way})
    return changed.step(placement)


def _fit_time(own: dict[str, Any], cases: list[Case], efficiency: dict[str, float]) -> None:
    """Finds traffic and launch by non-negative least squares of relative errors; launch stays where sizes are alike."""
    terms, rests = [], []
    for row, _, placement, roofline in cases:
        copying, measured = roofline.copying_s(placement), row["ms"] / 1000
        if copying > 0.8 * measured or row.get("idle_share", 0.0) > IDLE:
            continue  # bound by copies or by the host: says nothing of computing
        computing = measured - (1 - efficiency["overlap"]) * copying
        terms.append([value / measured for value in roofline.measured_terms(placement)])
        rests.append((computing - roofline.known_s(placement)) / measured)
    if not terms:
        return
    matrix, rest = np.array(terms), np.array(rests)
    ratios = matrix[:, 0] / matrix[:, 1]
    if ratios.max() > 2 * ratios.min():
        (traffic, launch), _ = nnls(matrix, rest)
        own["launch"] = round(float(launch), 1)
    else:
        traffic = max(float(((rest - matrix[:, 1] * own["launch"]) / matrix[:, 0]).mean()), 0.0)
    own["traffic"] = round(float(traffic), 1)


def host_us(cases: list[Case], known: dict[str, float]) -> dict[str, float]:
    """Gives the host's time for a pass through a block, from the cases in which the device waits for it."""
    found: dict[str, list[float]] = defaultdict(list)
    for row, _, placement, roofline in cases:
        if row.get("idle_share", 0.0) > IDLE:
            found[compilation(placement)].append(1000 * row["ms"] / sum(roofline.passes(placement).values()))
    return known | {key: round(float(np.median(values)), 1) for key, values in found.items()}


def hidden_share(cases: list[Case], content: dict[str, Any]) -> float:
    """Gives the share of copies that is hidden, from the cases whose weights wait in main memory."""
    shares = []
    for row, _, placement, roofline in cases:
        computing, copying = roofline.computing_s(placement), roofline.copying_s(placement)
        if placement.offload_blocks:
            shares.append((computing + copying - row["ms"] / 1000) / min(computing, copying))
    known = content["efficiency"]["overlap"]
    return round(float(np.clip(np.median(shares), 0, 1)), 2) if shares else float(known)


def _similar(groups: dict[str, list[Case]], key: str) -> str | None:
    """The measured way of the same family and compilation with other products."""
    family, compiled, _ = key.split("/")
    others = (f"{family}/{compiled}/{products}" for products in ("low_bit", "exact", "bf16"))
    return next((other for other in others if other in groups), None)
