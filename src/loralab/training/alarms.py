"""Says from a few-step run's readings what goes wrong; each rule is a function of the readings so far.

A reading is what was measured at one step; the newest stands last. Where something was not measured (the matching
signals exist in distribution matching only), its rule says nothing. Thresholds come from small models distilled by the
same method: there a few-step model keeps its detail within 0.85 to 1.15 of the untouched one's, and plain flow matching
ends at 0.64, with 1.4 times as much detail at many steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

DETAIL_KEPT = (0.8, 1.25)
NUM_IN_A_ROW = 3
LARGEST_DRIFT = 0.15
LARGEST_GAP = 1.3
RISE = 1.1
"""A gap counts as rising when three readings rise in a row, by a tenth in all: less is noise."""
FALL = 0.02
"""A cosine counts as falling when it loses so much over three readings."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What was measured at one step.

    Attributes:
        step: when.
        detail: high-frequency energy of few-step latents beside the untouched checkpoint's, from the same noise.
        drift: relative distance of few-step latents from the untouched checkpoint's, on prior prompts.
        nfe_gap: detail at many steps over detail at few.
        rel_gap: how far the fake score is from the real one, in shares of it.
        cosine: between the two.
    """

    step: int
    detail: float
    drift: float
    nfe_gap: float
    rel_gap: float | None = None
    cosine: float | None = None


@dataclass(frozen=True)
class Alarm:
    """A rule that was broken: its name, when, and what it says."""

    name: str
    step: int
    message: str


Readings = Sequence[Reading]


def detail_changed(readings: Readings) -> str | None:
    """Blur or noise in three readings in a row."""
    last = readings[-NUM_IN_A_ROW:]
    low, high = DETAIL_KEPT
    if len(last) < NUM_IN_A_ROW or any(low <= reading.detail <= high for reading in last):
        return None
    what = "blurred" if last[-1].detail < low else "noisy or over-sharpened"
    return (
        f"few-step pictures have {last[-1].detail:.2f} of the checkpoint's detail, outside {low} to {high} for "
        f"{NUM_IN_A_ROW} looks: they are {what}"
    )


def needs_many_steps(readings: Readings) -> str | None:
    """Much more detail at many steps than at few."""
    gap = readings[-1].nfe_gap
    if gap <= LARGEST_GAP:
        return None
    return (
        f"many steps draw {gap:.2f} times the detail of few (limit {LARGEST_GAP}): the distillation is going"
    )


def prior_moved(readings: Readings) -> str | None:
    """Prompts without the concept draw something else than before."""
    drift = readings[-1].drift
    if drift <= LARGEST_DRIFT:
        return None
    return f"prior prompts have drifted by {drift:.2f} (limit {LARGEST_DRIFT}): raise the anchor's weight, or stop"


def over_baked(readings: Readings) -> str | None:
    """The gap to the real score rises while the fake one keeps its direction."""
    if not _gap_rises(readings) or _cosine_falls(readings):
        return None
    return "the gap between real and fake score rises at a steady cosine: over-baked; stop or lower the matching weight"


def fake_lags(readings: Readings) -> str | None:
    """The gap to the real score rises because the fake one no longer follows."""
    if not (_gap_rises(readings) and _cosine_falls(readings)):
        return None
    return "the gap between real and fake score rises and their cosine falls: the fake lags; raise its updates or rate"


RULES: dict[str, Callable[[Readings], str | None]] = {
    "detail_changed": detail_changed,
    "needs_many_steps": needs_many_steps,
    "prior_moved": prior_moved,
    "over_baked": over_baked,
    "fake_lags": fake_lags,
}


def alarms(readings: Readings) -> list[Alarm]:
    """Gives every rule that the newest reading breaks."""
    said = {name: rule(readings) for name, rule in RULES.items()}
    return [Alarm(name, readings[-1].step, text) for name, text in said.items() if text is not None]


def best_step(readings: Readings) -> int | None:
    """Gives the step with the smallest gap between real and fake score: where to stop, looking back."""
    measured = [(reading.rel_gap, reading.step) for reading in readings if reading.rel_gap is not None]
    return min(measured)[1] if measured else None


def _gap_rises(readings: Readings) -> bool:
    gaps = [reading.rel_gap for reading in readings[-NUM_IN_A_ROW:] if reading.rel_gap is not None]
    if len(gaps) < NUM_IN_A_ROW:
        return False
    return gaps[0] < gaps[1] < gaps[2] and gaps[2] > RISE * gaps[0]


def _cosine_falls(readings: Readings) -> bool:
    cosines = [reading.cosine for reading in readings[-NUM_IN_A_ROW:] if reading.cosine is not None]
    return len(cosines) == NUM_IN_A_ROW and cosines[-1] < cosines[0] - FALL
