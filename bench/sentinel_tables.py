"""Judges recorded runs: which collapsed, what the sentinel says of them under given limits, and limits from a tuning
set.

A run's score is the distance of its drawings to the true pictures, step by step (bench/sentinel.py). It has *collapsed*
at the first step where the distance is a fifth above its best so far, and stays so at the next measurement (or ends
so). It is *healthy* if it has not, and ends at least a twentieth nearer than the untouched base; a run that does
neither has learned nothing, and an alarm in it counts neither as a detection nor as a false one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from loralab.training.sentinel import Alarm, Limits, Reading, Trends, Verdicts
from loralab.training.sentinel.rules import PATIENCE, RULES

LOST, LEARNED = 0.2, 0.05
MARGIN = 1.3
"""A tuned limit lies so far above the largest value that a healthy run of the tuning set has held: over eight seeds
that was 1.23 times what it had been over the first two."""
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Judged:
    """What came of one run.

    Attributes:
        collapsed: step at which the score has lost a fifth, or None.
        alarm: the first, or None.
    """

    row: Row
    collapsed: int | None
    alarm: Alarm | None

    @property
    def lead(self) -> int | None:
        """Steps between alarm and collapse; below 0 the alarm came late."""
        return None if self.collapsed is None or self.alarm is None else self.collapsed - self.alarm.step

    @property
    def healthy(self) -> bool:
        """Says whether it has learned something and not lost it."""
        first, *_, last = scores_of(self.row).values()
        return self.collapsed is None and last <= (1 - LEARNED) * first

    @property
    def in_time(self) -> bool:
        """Says whether a collapse was seen before the score had lost a fifth."""
        return self.lead is not None and self.lead >= 0


def scores_of(row: Row) -> dict[int, float]:
    """Gives the distances of a recorded run, by step and in its order."""
    return {step: row["scores"][str(step)] for step in sorted(map(int, row["scores"]))}


def collapse_step(scores: Mapping[int, float]) -> int | None:
    """Gives the step at which a distance is a fifth above its best so far and stays there, None where none is."""
    steps = sorted(scores)
    best, above = math.inf, []
    for step in steps:
        best = min(best, scores[step])
        above.append(not scores[step] <= (1 + LOST) * best)  # NaN is above
    for index, step in enumerate(steps):
        if above[index] and (index + 1 == len(steps) or above[index + 1]):
            return step
    return None


def readings_of(row: Row) -> list[Reading]:
    """Gives the readings of a recorded run, in the order in which they were judged."""
    return [Reading(**line) for line in row["readings"]]


def first_alarm(readings: Iterable[Reading], limits: Limits) -> Alarm | None:
    """Judges readings again; gives the first alarm."""
    trends, verdicts = Trends(), Verdicts(limits)
    for reading in readings:
        if alarms := verdicts.judge(reading.step, trends.add(reading)):
            return alarms[0]
    return None


def judged(row: Row, limits: Limits) -> Judged:
    """Judges a run under limits."""
    return Judged(row, collapse_step(scores_of(row)), first_alarm(readings_of(row), limits))


def held(readings: Iterable[Reading]) -> dict[str, float]:
    """Gives for each rule the largest value that was held for as long as an alarm takes."""
    trends, recent, largest = Trends(), {rule: [] for rule in RULES}, dict.fromkeys(RULES, 0.0)
    for reading in readings:
        for rule, value in trends.add(reading).items():
            values: list[float] = recent[rule]
            values.append(value)
            if len(values) >= (patience := PATIENCE.get(rule, 1)):
                largest[rule] = max(largest[rule], min(values[-patience:]))
    return largest


def tuned(rows: Sequence[Row]) -> Limits:
    """Gives limits under which no healthy run of these raises an alarm; a rule that then finds nothing is left out."""
    never = Limits(**dict.fromkeys(RULES, math.inf))
    healthy = [row for row in rows if judged(row, never).healthy]
    collapsed = [row for row in rows if judged(row, never).collapsed is not None]
    if not healthy or not collapsed:
        raise SystemExit(
            f"tuning needs runs of both kinds: {len(healthy)} healthy, {len(collapsed)} collapsed"
        )
    most = [held(readings_of(row)) for row in healthy]
    found = {}
    for rule in RULES:
        limit = MARGIN * max(values[rule] for values in most)
        alone = replace(never, **{rule: limit}) if 0 < limit < math.inf else never
        found[rule] = (
            getattr(alone, rule) if any(judged(row, alone).in_time for row in collapsed) else math.inf
        )
    return Limits(**found)


def confusion(rows: Sequence[Row], limits: Limits) -> dict[str, Any]:
    """Counts what was seen in time, late, not at all, and what was said of healthy runs; leads in steps."""
    each = [judged(row, limits) for row in rows]
    bad = [run for run in each if run.collapsed is not None]
    good = [run for run in each if run.healthy]
    neither = [run for run in each if run.collapsed is None and not run.healthy]
    leads = sorted(run.lead for run in bad if run.lead is not None)
    rules = sorted({run.alarm.rule for run in bad if run.alarm})
    return {
        "collapsed": len(bad),
        "in_time": sum(run.in_time for run in bad),
        "late": sum(run.alarm is not None and not run.in_time for run in bad),
        "missed": sum(run.alarm is None for run in bad),
        "healthy": len(good),
        "false_alarms": sum(run.alarm is not None for run in good),
        "unlearned": len(neither),
        "alarms_there": sum(run.alarm is not None for run in neither),
        "lead_median": leads[len(leads) // 2] if leads else None,
        "lead_least": leads[0] if leads else None,
        "first_rule": {
            rule: sum(run.alarm is not None and run.alarm.rule == rule for run in bad) for rule in rules
        },
    }


def page(rows: Sequence[Row], *, command: str, device: str) -> str:
    """Writes the tables as Markdown: what the shipped limits say, by model and set, and what tuning would propose."""
    parts = {name: [row for row in rows if row["part"] == name] for name in ("tuning", "test", "mitigation")}
    limits = Limits()
    lines = [
        f"`{command}` ({device}).",
        "",
        "| model, set | runs | collapsed | in time | late | missed | healthy | false alarms | learned nothing (alarms) "
        "| lead: median, least |",
        "| --- " * 10 + "|",
    ]
    counts = ("collapsed", "in_time", "late", "missed", "healthy", "false_alarms")
    for model in dict.fromkeys(row["model"] for row in rows):
        for name in ("tuning", "test"):
            own = [row for row in parts[name] if row["model"] == model]
            if not own:
                continue
            c = confusion(own, limits)
            cells = " | ".join(map(str, (f"{model}, {name}", len(own), *(c[key] for key in counts))))
            neither, lead = (
                f"{c['unlearned']} ({c['alarms_there']})",
                f"{c['lead_median']} ({c['lead_least']})",
            )
            lines.append(f"| {cells} | {neither} | {lead} |")
    lines += [
        "",
        "| cause (test set) | collapsed | seen in time | healthy | false alarms |",
        "| --- " * 5 + "|",
    ]
    for cause in sorted({row["cause"] for row in parts["test"]}):
        c = confusion([row for row in parts["test"] if row["cause"] == cause], limits)
        lines.append(
            f"| {cause} | {c['collapsed']} | {c['in_time']} | {c['healthy']} | {c['false_alarms']} |"
        )
    lines += [
        "",
        "| mitigation | runs | collapsed | best distance, mean | last distance, mean |",
        "| --- " * 5 + "|",
    ]
    for cause in dict.fromkeys(row["cause"] for row in parts["mitigation"]):
        runs = [row for row in parts["mitigation"] if row["cause"] == cause]
        scores = [[*scores_of(row).values()] for row in runs]
        best, last = (
            sum(pick(each) for each in scores) / len(scores) for pick in (min, lambda each: each[-1])
        )
        bad = sum(judged(row, limits).collapsed is not None for row in runs)
        lines.append(f"| {cause} | {len(runs)} | {bad} | {best:.4f} | {last:.4f} |")
    found = {"Shipped limits": limits}
    for model in dict.fromkeys(row["model"] for row in rows):
        own = [row for row in parts["tuning"] if row["model"] == model]
        if len({judged(row, limits).collapsed is None for row in own}) == 2:
            found[f"Tuned on {model}"] = tuned(own)
    values = {
        what: ", ".join(f"{rule} {value:.3g}" for rule, value in asdict(each).items() if value < math.inf)
        or "no rule sees a collapse in time without false alarms"
        for what, each in found.items()
    }
    return "\n".join([*lines, "", *(f"{what}: {each}." for what, each in values.items()), ""])
