"""A training has minutes, survives interruption, and does not overwrite another."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from loralab.errors import UserError
from loralab.nano.budget import Budget
from loralab.nano.fit import Fit, load_state, save_state

SECONDS = 1 / 60


def line_fit(out: Path) -> tuple[Fit, nn.Linear]:
    line = nn.Linear(1, 1)
    return Fit("line", out, modules={"line": line}, parameters=line.parameters(), peak_lr=0.05), line


def run(fit: Fit, line: nn.Linear, *, minutes: float) -> None:
    def loss_of() -> tuple[torch.Tensor, dict[str, float]]:
        x = torch.randn(64, 1)
        return (line(x) - 3 * x - 1).square().mean(), {"slope": line.weight.item()}

    fit.run(loss_of, minutes=minutes)


def test_the_rate_warms_up_over_steps_and_falls_to_a_fiftieth_over_time() -> None:
    fresh, half, spent = (Budget(1, spent_s=seconds) for seconds in (0, 30, 60))

    assert fresh.factor(0, warmup_steps=100) == pytest.approx(0.01, abs=1e-3)
    assert fresh.factor(200, warmup_steps=100) == pytest.approx(1, abs=1e-3)
    assert half.factor(200, warmup_steps=100) == pytest.approx(0.51, abs=1e-3)
    assert spent.factor(200, warmup_steps=100) == pytest.approx(0.02, abs=1e-3)
    assert spent.over and not half.over


def test_a_training_learns_logs_and_leaves_its_state(tmp_path: Path) -> None:
    fit, line = line_fit(tmp_path)

    run(fit, line, minutes=SECONDS)

    rows = [json.loads(row) for row in fit.log_path.read_text().splitlines()]
    assert line.weight.item() == pytest.approx(3, abs=0.1)
    assert (
        rows[0]["step"] == 50
        and rows[0]["ms"] > 0
        and rows[0]["loss"] > 10 * rows[-1]["loss"]
        and "slope" in rows[0]
    )
    assert fit.state_path.exists()


def test_a_resumed_training_goes_on_where_it_stopped_and_spends_what_is_left(tmp_path: Path) -> None:
    first, line = line_fit(tmp_path)
    run(first, line, minutes=SECONDS)

    second, again = line_fit(tmp_path)
    second.resume(True)
    run(second, again, minutes=SECONDS)

    assert second.step == first.step
    assert torch.equal(again.weight, line.weight)


def test_a_training_that_is_there_is_not_overwritten_unasked(tmp_path: Path) -> None:
    fit, line = line_fit(tmp_path)
    run(fit, line, minutes=SECONDS / 10)

    other, _ = line_fit(tmp_path)

    with pytest.raises(UserError, match=r"line_state\.pt.*--resume"):
        other.resume(False)


def test_minutes_count_from_where_the_command_began(tmp_path: Path) -> None:
    line = nn.Linear(1, 1)
    fit = Fit(
        "line",
        tmp_path,
        modules={"line": line},
        parameters=line.parameters(),
        peak_lr=0.05,
        began=time.monotonic() - 30,
    )

    run(fit, line, minutes=0.5)

    assert fit.step == 0
    assert fit.state_path.exists()


def test_a_killed_training_has_lost_less_than_the_seconds_between_two_saves(tmp_path: Path) -> None:
    fit, line = line_fit(tmp_path)
    fit.save_every_s = 0.1

    def loss_of() -> tuple[torch.Tensor, dict[str, float]]:
        if fit.step == 230:
            raise KeyboardInterrupt
        time.sleep(0.0025)
        return line(torch.randn(4, 1)).square().mean(), {}

    with pytest.raises(KeyboardInterrupt):
        fit.run(loss_of, minutes=1)
    again, _ = line_fit(tmp_path)
    again.resume(True)

    assert again.step == 200


def test_weights_alone_are_enough_to_go_on(tmp_path: Path) -> None:
    fit, line = line_fit(tmp_path)
    run(fit, line, minutes=SECONDS / 5)
    state = load_state(fit.state_path, command="train_line")
    save_state({key: value for key, value in state.items() if key != "optimizer"}, fit.state_path)

    other, again = line_fit(tmp_path)
    other.resume(True)

    assert other.step == fit.step
    assert torch.equal(again.weight, line.weight)


def test_a_state_that_is_not_there_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"line_state\.pt is not there.*loralab\.nano train_line"):
        load_state(tmp_path / "line_state.pt", command="train_line")


@pytest.mark.gpu
def test_recorded_steps_learn_as_others_do(tmp_path: Path) -> None:
    weights = []
    for is_recorded in (False, True):
        torch.manual_seed(0)
        line = nn.Linear(4, 1).cuda()
        out = tmp_path / str(is_recorded)
        fit = Fit(
            "line",
            out,
            modules={"line": line},
            parameters=line.parameters(),
            peak_lr=0.01,
            is_recorded=is_recorded,
        )

        def draw(fit: Fit = fit) -> tuple[torch.Tensor]:
            if fit.step == 60:
                raise KeyboardInterrupt
            return (torch.randn(8 if fit.step % 3 else 16, 4, device="cuda"),)

        def loss_of(x: torch.Tensor, line: nn.Linear = line) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
            error = line(x) - x.sum(1, keepdim=True)
            return error.square().mean(), {"size": error.detach().abs().mean()}

        with pytest.raises(KeyboardInterrupt):
            fit.run(loss_of, minutes=10, draw=draw)
        weights.append(line.weight.detach())

    torch.testing.assert_close(*weights, rtol=1e-3, atol=1e-4)


def test_a_gradient_that_is_not_finite_stops_and_keeps_the_last_state(tmp_path: Path) -> None:
    fit, line = line_fit(tmp_path)
    run(fit, line, minutes=SECONDS / 10)
    kept = fit.state_path.read_bytes()

    with pytest.raises(FloatingPointError, match="not finite"):
        fit.run(lambda: (line(torch.full((1, 1), torch.inf)).sum(), {}), minutes=1)

    assert fit.state_path.read_bytes() == kept
