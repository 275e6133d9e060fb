"""Every optimizer that conf/optimizer offers learns, and goes on from its state as if nothing had happened."""

import inspect
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hydra.utils import get_class, get_method, instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from loralab.optim import adamw_schedule_free, averaged, effective_lr

CONF = Path(__file__).parents[2] / "conf" / "optimizer"
NAMES = sorted(path.stem for path in CONF.glob("*.yaml"))
RATES = {"adafactor": 0.02, "lion8bit": 0.01, "prodigy": 1.0}


def test_the_folder_offers_what_users_expect() -> None:
    assert {"adamw", "adamw8bit", "prodigy"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_file_binds_to_its_constructor(name: str) -> None:
    config = _config(name, lr=0.1)
    arguments = {key: value for key, value in config.items() if not str(key).startswith("_")}

    constructor = get_method if config._target_.startswith("loralab") else get_class
    signature = inspect.signature(constructor(config._target_))

    signature.bind([], **arguments)
    assert set(arguments) <= set(signature.parameters) or name == "schedule_free"


@pytest.mark.parametrize("name", NAMES)
def test_every_file_opens_with_a_sentence_and_a_command(name: str) -> None:
    sentence, command = (CONF / f"{name}.yaml").read_text().splitlines()[:2]

    assert sentence.startswith("# ") and sentence.endswith(".")
    assert command.startswith("#   python train.py") and f"optimizer={name}" in command


@pytest.mark.parametrize("name", NAMES)
def test_it_lowers_the_error_of_a_regression(name: str) -> None:
    problem = _problem()
    optimizer = _optimizer(name, problem)

    before = _error(problem).item()
    _train(problem, optimizer, num_steps=60)

    assert _error(problem).item() < 0.5 * before


@pytest.mark.parametrize("name", NAMES)
def test_it_goes_on_from_its_state_bit_for_bit(name: str, tmp_path: Path) -> None:
    whole, first, second = _problem(), _problem(), _problem()
    _train(whole, _optimizer(name, whole), num_steps=8)

    interrupted = _optimizer(name, first)
    _train(first, interrupted, num_steps=5)
    torch.save({"weights": first.weights, "optimizer": interrupted.state_dict()}, tmp_path / "state.pt")
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    resumed = _optimizer(name, second)
    _overwrite(second.weights, saved["weights"])
    resumed.load_state_dict(saved["optimizer"])
    _train(second, resumed, num_steps=3)

    assert all(torch.equal(a, b) for a, b in zip(whole.weights, second.weights, strict=True))


def test_prodigy_finds_its_rate_under_a_warm_up() -> None:
    problem = _problem()
    optimizer = _optimizer("prodigy", problem)
    warmup = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 20))

    first = effective_lr(optimizer)
    for _ in range(40):
        _train(problem, optimizer, num_steps=1)
        warmup.step()

    assert first == pytest.approx(1e-6 / 20)
    assert effective_lr(optimizer) > 3e-4


def test_the_rate_of_other_optimizers_is_their_lr() -> None:
    assert effective_lr(_optimizer("adamw", _problem())) == pytest.approx(0.05)


def test_schedule_free_weights_are_averaged_inside_the_block_and_back_after_it() -> None:
    problem = _problem()
    optimizer = adamw_schedule_free(problem.weights, lr=0.05)
    _train(problem, optimizer, num_steps=20)
    training = [weight.detach().clone() for weight in problem.weights]

    with averaged(optimizer):
        inside = [weight.detach().clone() for weight in problem.weights]

    assert not any(torch.equal(a, b) for a, b in zip(inside, training, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(problem.weights, training, strict=True))
    _train(problem, optimizer, num_steps=1)


def test_averaging_leaves_other_optimizers_alone() -> None:
    problem = _problem()
    optimizer = _optimizer("adamw", problem)
    _train(problem, optimizer, num_steps=2)
    training = [weight.detach().clone() for weight in problem.weights]

    with averaged(optimizer):
        inside = [weight.detach().clone() for weight in problem.weights]

    assert all(torch.equal(a, b) for a, b in zip(inside, training, strict=True))


def _config(name: str, *, lr: float) -> DictConfig:
    config = OmegaConf.load(CONF / f"{name}.yaml")
    whole = OmegaConf.create({"model": {"recipe": {"lr": lr}}, "optimizer": config})
    OmegaConf.resolve(whole)
    return whole.optimizer


def _optimizer(name: str, problem: SimpleNamespace) -> torch.optim.Optimizer:
    config = _config(name, lr=0.05)
    config.lr = RATES.get(name, config.lr)
    return instantiate(config)(problem.weights)


def _problem() -> SimpleNamespace:
    """A low-rank regression, as an adapter's: x @ A.T @ B.T, B at 0; large enough that 8-bit moments are used."""
    generator = torch.Generator().manual_seed(0)
    a = torch.nn.Parameter(torch.randn(64, 80, generator=generator) / 80**0.5)
    b = torch.nn.Parameter(torch.zeros(96, 64))
    inputs = torch.randn(128, 80, generator=generator)
    truth = inputs @ torch.randn(80, 96, generator=generator) / 80**0.5
    return SimpleNamespace(weights=[a, b], inputs=inputs, truth=truth)


def _error(problem: SimpleNamespace) -> Tensor:
    a, b = problem.weights
    return (problem.inputs @ a.T @ b.T - problem.truth).square().mean()


def _train(problem: SimpleNamespace, optimizer: torch.optim.Optimizer, *, num_steps: int) -> None:
    for _ in range(num_steps):
        optimizer.zero_grad()
        _error(problem).backward()
        optimizer.step()


def _overwrite(weights: list[torch.nn.Parameter], values: list[Tensor]) -> None:
    with torch.no_grad():
        for weight, value in zip(weights, values, strict=True):
            weight.copy_(value)
