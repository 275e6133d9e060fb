"""When a run counts as collapsing: each rule is a number that is measured as training goes on, and its limit.

A reading is what was measured at one step; what was not measured there is None. `Trends` turns readings, one after the
other, into the values of the rules, and `Verdicts` says which of them have been above their limits for long enough.
Both know nothing of networks, so that a recorded run can be judged again under other limits (bench/sentinel.py).

    rule        value
    error       training error, smoothed over 8 steps, over its lowest so far
    gradient    norm of the gradient over its own slow average (32 steps)
    spectral    sigma_max of the update over that of the base weight, largest of 16 layers
    growth      spectral now over spectral 10 steps ago, once the update is no longer small
    validation  validation error over its lowest so far, the untouched base's included
    sigma       the same at the noise level where it is worst
    drift       rms(velocity - base's) / rms(base's) on prompts that should stay, worst of three noise levels
    detail      high-frequency energy of small pictures over the base's, or the inverse where it is below 1
    spread      their contrast over the base's, likewise
    colour      distance of their mean latents from the base's, in standard deviations
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from loralab.errors import UserError, joined

SMOOTHED, SLOW, EARLIER = 8, 32, 10
"""Steps over which the error is smoothed, over which the gradient's usual norm is, and between two sizes compared."""
SMALL = 0.05
"""An update below this share of the base grows fast without meaning anything."""
PATIENCE = {"error": 4, "gradient": 4, "spectral": 2, "growth": 4}
"""Steps in a row above the limit that make an alarm; of what is measured rarely, one does."""
GOOD = 0.8
"""A snapshot is good where every rule is below this share of its limit."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The largest value of each rule that is no alarm; infinity leaves a rule out. docs/reliability.md says whence."""

    error: float = math.inf
    gradient: float = math.inf
    spectral: float = 5.0
    growth: float = math.inf
    validation: float = 1.15
    sigma: float = math.inf
    drift: float = math.inf
    detail: float = math.inf
    spread: float = math.inf
    colour: float = math.inf

    def __post_init__(self) -> None:
        problems = [
            f"sentinel.limits.{key}={value} must be a positive number; inf leaves the rule out"
            for key, value in asdict(self).items()
            if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0
        ]
        if problems:
            raise UserError("limits cannot be so:\n" + joined(problems))


RULES = tuple(each.name for each in fields(Limits))


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was measured at one step; None where it was not.

    Attributes:
        step: the number of finished updates.
        error: training error of the step.
        gradient_norm: before clipping.
        spectral, movement: as loralab.adapter.spectral tells them.
        weight_norm: of all the adapter's tensors together.
        validation, sigma: validation error over its lowest so far: of all levels, of the worst.
        drift, detail, spread, colour: as above; detail and spread as plain ratios.
    """

    step: int
    error: float | None = None
    gradient_norm: float | None = None
    spectral: float | None = None
    movement: float | None = None
    weight_norm: float | None = None
    validation: float | None = None
    sigma: float | None = None
    drift: float | None = None
    detail: float | None = None
    spread: float | None = None
    colour: float | None = None


@dataclass(frozen=True)
class Alarm:
    """A rule that was broken."""

    rule: str
    step: int
    value: float
    limit: float

    @property
    def message(self) -> str:
        """What it means, and what usually helps."""
        return f"{MEANING[self.rule]} ({self.rule} {self.value:.3g}, limit {self.limit:.3g})"


@dataclass
class Trends:
    """What the rules remember of earlier readings."""

    error: float | None = None
    lowest: float = math.inf
    gradient: float | None = None
    num_steps: int = 0
    spectral: deque[float] = field(default_factory=lambda: deque(maxlen=EARLIER))

    def add(self, reading: Reading) -> dict[str, float]:
        """Gives the value of each rule that the reading says something about; call it once for each, in order."""
        found = {
            "validation": reading.validation,
            "sigma": reading.sigma,
            "drift": reading.drift,
            "detail": _either_way(reading.detail),
            "spread": _either_way(reading.spread),
            "colour": reading.colour,
            "spectral": reading.spectral,
        }
        if reading.error is not None:
            found["error"] = self._error(reading.error)
        if reading.gradient_norm is not None:
            found["gradient"] = self._gradient(reading.gradient_norm)
        if reading.spectral is not None:
            found["growth"] = self._growth(reading.spectral)
        return {
            rule: math.inf if math.isnan(value) else value
            for rule, value in found.items()
            if value is not None
        }

    def _error(self, error: float) -> float | None:
        self.num_steps += 1
        weight = 1 / min(self.num_steps, SMOOTHED)
        self.error = error if self.error is None else self.error + weight * (error - self.error)
        if self.num_steps < SMOOTHED:
            return None
        self.lowest = min(self.lowest, self.error)
        return self.error / max(self.lowest, 1e-12)

    def _gradient(self, norm: float) -> float | None:
        before = self.gradient
        weight = 1 / min(self.num_steps or 1, SLOW)
        self.gradient = norm if before is None else before + weight * (norm - before)
        return None if before is None or self.num_steps < SMOOTHED else norm / max(before, 1e-12)

    def _growth(self, spectral: float) -> float | None:
        before = self.spectral[0] if len(self.spectral) == EARLIER else None
        self.spectral.append(spectral)
        return None if before is None or before < SMALL else spectral / before

    def to_dict(self) -> dict[str, Any]:
        """Gives plain values, for a checkpoint."""
        return {**vars(self), "spectral": list(self.spectral)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Trends:
        """Takes them up again."""
        return cls(**{**plain, "spectral": deque(plain["spectral"], maxlen=EARLIER)})


@dataclass
class Verdicts:
    """Which rules are broken, and for how long.

    Attributes:
        limits: the largest values that are no alarm.
        in_a_row: how often each rule was above its limit without a break.
        shares: the newest value of each rule as a share of its limit.
    """

    limits: Limits
    in_a_row: dict[str, int] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)

    def judge(self, step: int, values: Mapping[str, float]) -> list[Alarm]:
        """Gives the rules that have been above their limits for long enough, at the step where they have."""
        alarms = []
        for rule, value in values.items():
            limit = getattr(self.limits, rule)
            self.shares[rule] = value / limit
            self.in_a_row[rule] = self.in_a_row.get(rule, 0) + 1 if value > limit else 0
            if self.in_a_row[rule] == PATIENCE.get(rule, 1):
                alarms.append(Alarm(rule, step, value, limit))
        return alarms

    @property
    def is_good(self) -> bool:
        """Says whether nothing is near its limit."""
        return all(share <= GOOD for share in self.shares.values())


MEANING = {
    "error": "the training error rises again",
    "gradient": "the gradient is far larger than it was",
    "spectral": "the update is larger than the weights that it changes",
    "growth": "the update grows faster and faster",
    "validation": "held-out pictures are predicted worse than before",
    "sigma": "held-out pictures are predicted much worse than before at one noise level",
    "drift": "prompts without the concept are answered differently",
    "detail": "small pictures have become noisy or blurred",
    "spread": "small pictures have lost or gained contrast",
    "colour": "small pictures have changed their colours",
}


def _either_way(ratio: float | None) -> float | None:
    return None if ratio is None else max(ratio, 1 / max(ratio, 1e-12))
