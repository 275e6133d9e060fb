from __future__ import annotations

import dataclasses

import pytest

from loralab.training.alarms import (
    RULES,
    Reading,
    alarms,
    best_step,
    detail_changed,
    fake_lags,
    needs_many_steps,
    over_baked,
    prior_moved,
)

CALM = Reading(step=0, detail=1.0, drift=0.05, nfe_gap=1.0)


def over_time(**series: list[float]) -> list[Reading]:
    """Gives readings that are calm but for these series."""
    (length,) = {len(values) for values in series.values()}
    return [
        dataclasses.replace(
            CALM, step=100 * index, **{name: values[index] for name, values in series.items()}
        )
        for index in range(length)
    ]


def test_calm_readings_raise_nothing() -> None:
    readings = over_time(rel_gap=[0.5, 0.4, 0.35], cosine=[0.9, 0.92, 0.93])

    assert alarms(readings) == []


@pytest.mark.parametrize(
    ("series", "word"),
    [
        ([0.9, 0.79, 0.7, 0.6], "blurred"),
        ([1.3, 1.4, 1.5], "noisy"),
        ([0.7, 0.81, 0.7], None),
        ([0.7, 0.7], None),
        ([0.8, 0.8, 0.8], None),
        ([1.25, 1.25, 1.25], None),
    ],
)
def test_detail_must_be_off_for_three_looks_in_a_row(series: list[float], word: str | None) -> None:
    said = detail_changed(over_time(detail=series))

    assert (said is None) == (word is None)
    assert word is None or word in str(said)


def test_a_gap_between_few_and_many_steps_counts_at_once_above_its_limit() -> None:
    assert needs_many_steps(over_time(nfe_gap=[1.0, 1.31])) is not None
    assert needs_many_steps(over_time(nfe_gap=[1.4, 1.3])) is None


def test_drift_of_prior_prompts_counts_at_once_above_its_limit() -> None:
    assert prior_moved(over_time(drift=[0.1, 0.151])) is not None
    assert prior_moved(over_time(drift=[0.2, 0.15])) is None


def test_a_rising_gap_is_over_baked_at_a_steady_cosine_and_a_lagging_fake_at_a_falling_one() -> None:
    rising = [0.30, 0.33, 0.40]
    steady = over_time(rel_gap=rising, cosine=[0.90, 0.90, 0.89])
    falling = over_time(rel_gap=rising, cosine=[0.90, 0.88, 0.80])

    assert (over_baked(steady) is not None, fake_lags(steady) is not None) == (True, False)
    assert (over_baked(falling) is not None, fake_lags(falling) is not None) == (False, True)


@pytest.mark.parametrize("gaps", [[0.40, 0.33, 0.30], [0.30, 0.30, 0.31], [0.30, 0.50, 0.45], [0.3, 0.4]])
def test_a_gap_that_wavers_or_falls_raises_nothing(gaps: list[float]) -> None:
    readings = over_time(rel_gap=gaps, cosine=[0.9] * len(gaps))

    assert over_baked(readings) is None
    assert fake_lags(readings) is None


def test_what_is_not_measured_raises_nothing_and_has_no_best_step() -> None:
    readings = over_time(detail=[1.0, 1.0, 1.0])

    assert alarms(readings) == []
    assert best_step(readings) is None


def test_the_best_step_is_that_of_the_smallest_gap() -> None:
    assert best_step(over_time(rel_gap=[0.5, 0.2, 0.3])) == 100


def test_an_alarm_names_its_rule_and_its_step() -> None:
    (alarm,) = alarms(over_time(nfe_gap=[1.0, 2.0]))

    assert (alarm.name, alarm.step) == ("needs_many_steps", 100)
    assert "2.00 times the detail" in alarm.message
    assert alarm.name in RULES
