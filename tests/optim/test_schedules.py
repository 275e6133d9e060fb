"""Schedules are functions of the step: they rise, fall, and say what cannot be."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from loralab.errors import UserError
from loralab.optim import Schedule

CONF = Path(__file__).parents[2] / "conf" / "schedule"
NAMES = sorted(path.stem for path in CONF.glob("*.yaml"))


def test_a_warm_up_rises_in_equal_steps_and_its_first_update_moves() -> None:
    schedule = Schedule("cosine", warmup_steps=4)

    rise = [schedule.factor(step, num_steps=20) for step in range(5)]

    assert rise == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])


def test_a_constant_stays() -> None:
    schedule = Schedule("constant")

    assert {schedule.factor(step, num_steps=10) for step in range(10)} == {1.0}


def test_a_linear_fall_loses_the_same_at_every_step() -> None:
    schedule = Schedule("linear", final_fraction=0.2)

    factors = [schedule.factor(step, num_steps=4) for step in range(5)]

    assert factors == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2])


def test_a_cosine_passes_its_middle_half_way_and_its_last_update_still_moves() -> None:
    schedule = Schedule("cosine", warmup_steps=10, final_fraction=0.1)

    factors = [schedule.factor(step, num_steps=110) for step in range(110)]

    assert factors[60] == pytest.approx(0.55)
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert 0.1 < factors[-1] < 0.101


def test_on_an_optimizer_the_rate_follows_the_schedule_and_goes_on_from_its_state() -> None:
    schedule = Schedule("linear", warmup_steps=2)
    whole, resumed = _attached(schedule), _attached(schedule)

    rates = [_step(*whole) for _ in range(8)]
    for _ in range(3):
        _step(*resumed)
    optimizer, scheduler = _attached(schedule)
    optimizer.load_state_dict(resumed[0].state_dict())
    scheduler.load_state_dict(resumed[1].state_dict())

    assert rates == pytest.approx([0.5 * schedule.factor(step, num_steps=8) for step in range(8)])
    assert [_step(optimizer, scheduler) for _ in range(5)] == rates[3:]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"decay": "exponential"},
            "schedule.decay=exponential is unknown; choose one of constant, linear, cosine",
        ),
        ({"decay": "cosine", "warmup_steps": -1}, "schedule.warmup_steps=-1 must be at least 0"),
        ({"decay": "linear", "final_fraction": 1.5}, r"schedule.final_fraction=1.5 must lie in \[0, 1\]"),
        ({"decay": "constant", "final_fraction": 0.1}, "has no effect on a constant rate"),
    ],
)
def test_what_cannot_be_is_said_with_the_key_and_the_value(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        Schedule(**arguments)


def test_a_warm_up_as_long_as_the_run_is_refused() -> None:
    with pytest.raises(UserError, match=r"schedule.warmup_steps=8 leaves nothing of steps=8"):
        _attached(Schedule("cosine", warmup_steps=8))


@pytest.mark.parametrize("name", NAMES)
def test_every_file_makes_the_schedule_that_it_is_named_after(name: str) -> None:
    sentence, command = (CONF / f"{name}.yaml").read_text().splitlines()[:2]

    schedule = instantiate(OmegaConf.load(CONF / f"{name}.yaml"))

    assert isinstance(schedule, Schedule) and schedule.decay == name
    assert sentence.endswith(".") and f"schedule={name}" in command


def test_the_folder_holds_the_three_schedules() -> None:
    assert NAMES == ["constant", "cosine", "linear"]


def _attached(schedule: Schedule) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    weight = torch.nn.Parameter(torch.ones(1))
    weight.grad = torch.ones(1)
    optimizer = torch.optim.SGD([weight], lr=0.5)
    return optimizer, schedule(optimizer, num_steps=8)


def _step(optimizer: torch.optim.Optimizer, scheduler: torch.optim.lr_scheduler.LambdaLR) -> float:
    rate = optimizer.param_groups[0]["lr"]
    optimizer.step()
    scheduler.step()
    return rate
