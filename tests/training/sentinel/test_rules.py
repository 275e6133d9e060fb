from __future__ import annotations

import math
from dataclasses import replace

import pytest

from loralab.errors import UserError
from loralab.training.sentinel import Alarm, Limits, Reading, SentinelSettings, Trends, Verdicts
from loralab.training.sentinel.rules import MEANING, PATIENCE, RULES

NEVER = Limits(**dict.fromkeys(RULES, math.inf))


def alarms(readings: list[Reading], limits: Limits) -> list[Alarm]:
    trends, verdicts = Trends(), Verdicts(limits)
    return [alarm for reading in readings for alarm in verdicts.judge(reading.step, trends.add(reading))]


def errors(values: list[float]) -> list[Reading]:
    return [Reading(step=index, error=value) for index, value in enumerate(values, start=1)]


def test_an_error_that_falls_with_noise_is_no_alarm_and_one_that_rises_for_long_is_one() -> None:
    falling = [1 + 5 / step + 0.1 * (-1) ** step for step in range(1, 60)]

    quiet, loud = (
        alarms(errors(each), replace(NEVER, error=1.6)) for each in (falling, [*falling, *[2.5] * 20])
    )

    assert quiet == []
    assert [alarm.rule for alarm in loud] == ["error"]
    assert 60 <= loud[0].step <= 75


def test_one_bad_batch_is_no_alarm() -> None:
    spike = [1.0] * 20 + [6.0] + [1.0] * 20
    gradients = [
        Reading(step=step, error=1.0, gradient_norm=norm) for step, norm in enumerate(spike, start=1)
    ]

    assert alarms(errors(spike), replace(NEVER, error=2.5)) == []
    assert alarms(gradients, replace(NEVER, gradient=5)) == []


def test_growth_counts_only_once_the_update_is_no_longer_small() -> None:
    small = [Reading(step=step, spectral=1e-6 * 2**step) for step in range(1, 14)]
    large = [Reading(step=step, spectral=0.06 * 1.2**step) for step in range(1, 30)]

    assert alarms(small, replace(NEVER, growth=3)) == []
    assert alarms(large, replace(NEVER, growth=3))[0].step == 1 + 10 + PATIENCE["growth"] - 1


@pytest.mark.parametrize(
    ("reading", "rule"),
    [
        (Reading(step=9, validation=1.2), "validation"),
        (Reading(step=9, sigma=1.5), "sigma"),
        (Reading(step=9, drift=0.9), "drift"),
        (Reading(step=9, detail=0.2), "detail"),
        (Reading(step=9, detail=5.0), "detail"),
        (Reading(step=9, spread=0.4), "spread"),
        (Reading(step=9, colour=3.0), "colour"),
        (Reading(step=9, validation=math.nan), "validation"),
    ],
)
def test_what_is_measured_rarely_alarms_at_once(reading: Reading, rule: str) -> None:
    limits = {"validation": 1.15, "sigma": 1.35, "drift": 0.75, "detail": 2.5, "spread": 1.6, "colour": 1.0}

    (alarm,) = alarms([reading], replace(NEVER, **{rule: limits[rule]}))

    assert (alarm.rule, alarm.step) == (rule, 9)
    assert MEANING[rule] in alarm.message


def test_a_rule_alarms_once_until_it_has_been_quiet_again() -> None:
    drifts = [0.9, 0.9, 0.1, 0.9]

    found = alarms(
        [Reading(step=step, drift=drift) for step, drift in enumerate(drifts)], replace(NEVER, drift=0.6)
    )

    assert [alarm.step for alarm in found] == [0, 3]


def test_a_snapshot_near_a_limit_is_not_good_before_there_is_an_alarm() -> None:
    verdicts = Verdicts(replace(NEVER, drift=0.6))

    good = [(verdicts.judge(0, {"drift": value}), verdicts.is_good)[1] for value in (0.3, 0.55)]

    assert good == [True, False]


def test_trends_go_on_from_a_checkpoint_as_if_nothing_had_been() -> None:
    readings = [
        Reading(step=s, error=1 + 0.1 * math.sin(s), gradient_norm=1.0 + s, spectral=0.1 * s)
        for s in range(1, 40)
    ]
    whole, first = Trends(), Trends()
    expected = [whole.add(reading) for reading in readings]

    for reading in readings[:17]:
        first.add(reading)
    second = Trends.from_dict(first.to_dict())

    assert [second.add(reading) for reading in readings[17:]] == expected[17:]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"action": "panic"}, "sentinel.action=panic is none of none, warn, lower_lr, rollback, stop"),
        ({"factor": 1.0}, "sentinel.factor=1.0 must lie between 0 and 1"),
        ({"num_steps": 1}, "sentinel.num_steps=1 must be at least 2"),
        ({"prior": []}, r"sentinel.prior=\[\] looks at nothing"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SentinelSettings(**settings)  # type: ignore[arg-type]


def test_limits_are_positive_numbers() -> None:
    with pytest.raises(UserError, match=r"sentinel.limits.drift=-1 must be a positive number; inf leaves"):
        Limits(drift=-1)
