"""Trials in one pass of the network are what they are alone."""

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.packed.trials import CPU, OPTIMIZERS, TRIALS, Trial, alone, base_of, distance, klein, together

from loralab.adapter import LoraSpec
from loralab.errors import UserError
from loralab.memory import Placement
from loralab.packed import Meeting, PackFailedError, Seat

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_adapters_of_any_rank_scale_dropout_targets_and_start_learn_as_alone(
    optimizer: str, tiny_klein_folder: Path
) -> None:
    first = OPTIMIZERS.index(optimizer)
    pair = (TRIALS[first % 4], TRIALS[(first + 1) % 4])
    trials = [dataclasses.replace(trial, optimizer=optimizer, num_steps=3) for trial in pair]

    outcomes, meeting = together(base_of(klein(tiny_klein_folder), trials, width=2), trials)

    single = alone(tiny_klein_folder, trials[0])
    assert outcomes[0].losses == pytest.approx(single.losses, rel=1e-5)
    assert distance(single, outcomes[0]) < 1e-5
    assert max(meeting.num_passes) == 2


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_after_a_hundred_steps_every_adapter_is_still_that_of_the_trial_alone(
    optimizer: str, tiny_klein_folder: Path
) -> None:
    trials = [dataclasses.replace(trial, optimizer=optimizer, num_steps=100) for trial in TRIALS]

    outcomes, _ = together(base_of(klein(tiny_klein_folder), trials, width=4), trials)

    off = [
        distance(alone(tiny_klein_folder, trial), found)
        for trial, found in zip(trials, outcomes, strict=True)
    ]
    # Muon makes tiny directions of a gradient as long as large ones, and with them the last bits of two rows' products.
    print(optimizer, " ".join(f"{one:.1e}" for one in off))
    assert max(off) < (5e-3 if optimizer == "muon" else 1e-5)


def test_what_is_not_finite_in_one_trial_stays_in_it_and_the_next_one_in_its_slot_is_clean(
    tiny_klein_folder: Path,
) -> None:
    spec = LoraSpec(rank=4, alpha=4, targets="attention_mlp")
    ill = Trial(spec, seed=5, num_steps=2, poison=0)
    trials = [dataclasses.replace(TRIALS[0], num_steps=3), ill, dataclasses.replace(TRIALS[1], num_steps=3)]

    outcomes, _ = together(base_of(klein(tiny_klein_folder), trials, width=2), trials)

    assert all(math.isnan(loss) for loss in outcomes[1].losses)
    for number in (0, 2):
        single = alone(tiny_klein_folder, trials[number])
        assert outcomes[number].losses == pytest.approx(single.losses, rel=1e-6)
        assert distance(single, outcomes[number]) < 1e-6


def test_a_width_that_is_kept_gives_the_same_with_empty_slots_and_with_checkpointing(
    tiny_klein_folder: Path,
) -> None:
    placement = Placement(CPU, torch.float32, checkpointing="full")
    plain = [dataclasses.replace(trial, num_steps=2) for trial in TRIALS[1:3]]

    outcomes, meeting = together(
        base_of(klein(tiny_klein_folder, placement), plain, width=4, static=True), plain
    )

    assert max(meeting.num_passes) == 2
    for trial, found in zip(plain, outcomes, strict=True):
        assert distance(alone(tiny_klein_folder, trial), found) < 1e-5


@pytest.mark.slow
def test_a_block_that_is_run_again_in_the_backward_pass_drops_the_same(tiny_klein_folder: Path) -> None:
    placement = Placement(CPU, torch.float32, checkpointing="full")

    outcomes, _ = together(base_of(klein(tiny_klein_folder, placement), TRIALS[:2], width=2), TRIALS[:2])

    assert distance(alone(tiny_klein_folder, TRIALS[0]), outcomes[0]) < 1e-5


def test_a_failure_of_the_shared_network_interrupts_every_trial(tiny_klein_folder: Path) -> None:
    base = base_of(klein(tiny_klein_folder), TRIALS, width=1)
    meeting = Meeting(base)
    seat = Seat(base, meeting, slot=0)
    seat.inject(TRIALS[0].spec, pattern=base.denoiser.target_pattern("attention"), seed=0)
    meeting.failure = "the pack of 1 trials has failed by OutOfMemoryError"

    with pytest.raises(PackFailedError, match="has failed by OutOfMemoryError"):
        seat.velocity(torch.zeros(1, 16, 4, 4), sigma=torch.ones(1), prompt_embeds=torch.zeros(1, 16, 48))


def test_what_does_not_fit_is_said_with_the_key(tiny_klein_folder: Path) -> None:
    base = base_of(klein(tiny_klein_folder), TRIALS, width=2)

    assert base.unfit(TRIALS[0].spec) is None
    assert "adapter.rank=9 is above" in str(base.unfit(LoraSpec(rank=9, alpha=1, targets="attention")))
    assert "adapter.targets=all" not in str(base.unfit(LoraSpec(rank=2, alpha=1, targets="all")))
    assert "adapter.targets=to_q is none" in str(base.unfit(LoraSpec(rank=2, alpha=1, targets="to_q")))
    assert "adapter=dora" in str(base.unfit(LoraSpec(rank=2, alpha=1, targets="attention", use_dora=True)))
    with pytest.raises(UserError, match="pack=0 must be at least 1"):
        base_of(klein(tiny_klein_folder), TRIALS, width=0)


@pytest.mark.slow
def test_compiled_code_outlives_the_trials(tiny_klein_folder: Path) -> None:
    program = [sys.executable, "-m", "tests.packed.compiled", str(tiny_klein_folder)]

    done = subprocess.run(program, capture_output=True, text=True, check=False, cwd=ROOT)

    assert done.returncode == 0, done.stderr
    assert "compiling failed" not in done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["first"] == found["all"] > 0
    assert found["losses"] == pytest.approx(found["alone"], rel=1e-4)
