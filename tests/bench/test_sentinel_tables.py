from __future__ import annotations

from typing import Any

import pytest
from bench.sentinel_tables import collapse_step, confusion, held, readings_of, tuned


def row(scores: dict[int, float], *, spectral: list[float], part: str = "tuning") -> dict[str, Any]:
    readings = [{"step": step, "spectral": value} for step, value in enumerate(spectral, start=1)]
    return {
        "part": part,
        "scores": {str(step): score for step, score in scores.items()},
        "readings": readings,
    }


HEALTHY = row({0: 1.0, 5: 0.8, 10: 0.7}, spectral=[0.1] * 5 + [0.5, 0.9, 0.5, 0.6, 0.6])
RUINED = row({0: 1.0, 5: 0.8, 10: 1.2}, spectral=[0.1, 0.5, 2.0, 4.0, 5.0] + [6.0] * 5)
LATE = row({0: 1.0, 2: 1.5, 10: 1.5}, spectral=[0.1] * 8 + [4.0, 4.0])


@pytest.mark.parametrize(
    ("scores", "step"),
    [
        ({0: 1.0, 5: 0.8, 10: 0.7}, None),
        ({0: 1.0, 5: 0.5, 10: 0.59, 15: 0.59}, None),
        ({0: 1.0, 5: 0.5, 10: 0.61, 15: 0.7}, 10),
        ({0: 1.0, 5: 0.5, 10: 0.7, 15: 0.5}, None),
        ({0: 1.0, 5: 0.5, 10: 0.5, 15: 0.7}, 15),
        ({0: 1.0, 5: float("nan"), 10: float("nan")}, 5),
    ],
)
def test_a_collapse_is_a_fifth_lost_that_does_not_come_back(
    scores: dict[int, float], step: int | None
) -> None:
    assert collapse_step(scores) == step


def test_a_value_is_held_for_as_long_as_an_alarm_takes() -> None:
    assert held(readings_of(HEALTHY))["spectral"] == 0.6


def test_tuned_limits_are_above_the_healthy_runs_and_leave_out_what_finds_nothing() -> None:
    limits = tuned([HEALTHY, RUINED])

    assert limits.spectral == pytest.approx(1.3 * 0.6)
    assert limits.drift == float("inf")


def test_the_table_tells_seen_in_time_from_late_and_from_missed() -> None:
    quiet = row({0: 1.0, 5: 2.0}, spectral=[0.1] * 5)
    useless = row({0: 1.0, 5: 1.1, 10: 0.99}, spectral=[6.0] * 10)
    limits = tuned([HEALTHY, RUINED])

    counted = confusion([HEALTHY, RUINED, LATE, quiet, useless], limits)

    assert (counted["collapsed"], counted["in_time"], counted["late"], counted["missed"]) == (3, 1, 1, 1)
    assert (counted["healthy"], counted["false_alarms"]) == (1, 0)
    assert (counted["unlearned"], counted["alarms_there"]) == (1, 1)
    assert counted["lead_median"] == 6
    assert counted["first_rule"] == {"spectral": 2}
