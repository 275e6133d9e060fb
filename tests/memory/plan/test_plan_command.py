"""`python -m loralab plan` and what a run decides by it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from bench.configs import save_configs
from tests.training.runs import finished, save_pictures, tiny_config

from loralab.cli import plan
from loralab.errors import UserError
from loralab.memory import MemoryPolicy, Placement
from loralab.memory.plan import Option, choose
from loralab.planning.decide import fixed_of, settled

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def klein9b(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"model.checkpoint='{save_configs('flux2_klein9b', tmp_path_factory.mktemp('klein9b'))}'"


def test_a_plan_for_a_card_that_is_not_here_says_stages_times_and_the_choice(
    klein9b: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plan.main(["model=flux2_klein9b", klein9b, 'plan.card="RTX 4090"', "plan.budget_gib=12"])

    printed = capsys.readouterr().out
    for words in ("encode text", "encode pixels", "train", "preview", "total", "ms a step"):
        assert words in printed
    assert "RTX 4090 (12.00 GiB may be used)" in printed
    assert "87,031,808 parameters" not in printed and "43,515,904 parameters" in printed
    for words in ("chosen", "next cheaper", "next dearer"):
        assert words in printed


def test_a_chosen_policy_is_planned_as_it_is_and_compared(
    klein9b: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plan.main(["model=flux2_klein9b", klein9b, "memory=nf4", "memory.checkpointing=full", "plan.card=H100"])

    printed = capsys.readouterr().out
    assert "policy        nf4, read back for products; checkpointing full" in printed
    assert "faster within the budget: " in printed


def test_a_policy_that_does_not_fit_is_called_so(klein9b: str, capsys: pytest.CaptureFixture[str]) -> None:
    plan.main(["model=flux2_klein9b", klein9b, "memory=bf16", "plan.card=RTX 3060"])

    assert "this policy does not fit into 10.96 GiB" in capsys.readouterr().out


def test_without_a_card_memory_is_planned_and_no_time(
    tiny_klein_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan.main(
        ["model=flux2_klein4b", f"model.checkpoint='{tiny_klein_folder}'", "model.max_prompt_length=16"]
    )

    printed = capsys.readouterr().out
    assert "card          none (no limit)" in printed
    assert " ms" not in printed


def test_a_budget_of_the_policy_is_the_plans(klein9b: str) -> None:
    with pytest.raises(
        UserError, match=r"memory.budget_gib=0.50 is not enough: the least that these settings"
    ):
        plan.main(["model=flux2_klein9b", klein9b, "memory.budget_gib=0.5", "plan.card=H100"])


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("plan.speed=2", "plan.speed is no setting; known are plan.card and plan.budget_gib"),
        ("plan.budget_gib=much", "plan.budget_gib=much must be a number above 0"),
        ("plan.card=Voodoo", "plan.card=Voodoo is not known"),
        ("memory.nothing=1", "train: .*nothing"),
        ("+nothing=1", "nothing is no setting"),
        ("adapter.targets=none_such", "adapter.targets: no linear layer"),
    ],
)
def test_a_plan_refuses_what_it_does_not_know(argument: str, words: str, tiny_klein_folder: Path) -> None:
    with pytest.raises(UserError, match=words):
        plan.main(["model=flux2_klein4b", f"model.checkpoint='{tiny_klein_folder}'", argument])


@pytest.mark.slow
def test_the_word_plan_plans_instead_of_training(klein9b: str) -> None:
    command = [sys.executable, "train.py", "plan", "model=flux2_klein9b", klein9b, "memory=int8"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "policy        int8, products in it" in done.stdout


def test_what_the_user_has_set_stays_and_the_rest_is_the_planners() -> None:
    policy = MemoryPolicy(checkpointing="full", offload_blocks=0.5, budget_gib=10)
    taken = Placement(torch.device("cuda"), torch.bfloat16, "int8", checkpointing="full", offload_blocks=0.5)

    fixed, result = fixed_of(policy), settled(policy, Option(taken, 1.0, 1.0))

    assert (fixed.precision, fixed.checkpointing, fixed.offload_blocks) == (None, "full", 0.5)
    assert fixed.offload_activations is None
    assert fixed_of(MemoryPolicy(precision="int8")) == choose.Fixed(
        precision="int8",
        checkpointed_blocks=1.0,
        compile=fixed.compile,
        offload_blocks=0.0,
        offload_activations=False,
    )
    assert (result.precision, result.checkpointing, result.budget_gib) == ("int8", "full", None)


def test_a_run_writes_down_how_its_base_was_held(tiny_klein_folder: Path, tmp_path: Path) -> None:
    pictures = save_pictures(tmp_path / "pictures", count=2)

    config = tiny_config(tiny_klein_folder, pictures, "steps=1", "batch_size=1", cache=tmp_path / "cache")
    memory = finished(config, tmp_path / "run")["memory"]

    assert memory["precision"] == "float32" and memory["checkpointing"] == "none"
    assert memory["predicted_train_peak_gib"] is None
    assert memory["measured_train_peak_gib"] > 0 and memory["measured_watch_peak_gib"] is None
