from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.objectives.distribution_runs import batch, stage_two
from torch import Tensor

from loralab.adapter import adapter_parameters, adapter_state
from loralab.adapter.roles import ASSISTANT, FAKE, STUDENT, TEACHER
from loralab.memory import Placement
from loralab.objectives.distribution.settings import PRESETS, Weights
from loralab.objectives.distribution.stage_two import StageTwo

ALL = replace(PRESETS["dm_aware"], coupled=0.3)
EVERYBODY = (STUDENT, ASSISTANT, TEACHER, FAKE)


def states(stage: StageTwo) -> dict[str, dict[str, Tensor]]:
    transformer = stage.cast.student.denoiser.transformer
    return {name: adapter_state(transformer, name=name) for name in EVERYBODY}


def changed(before: dict[str, dict[str, Tensor]], after: dict[str, dict[str, Tensor]]) -> set[str]:
    return {
        name
        for name in EVERYBODY
        if any(not torch.equal(tensor, after[name][key]) for key, tensor in before[name].items())
    }


def gradient(stage: StageTwo) -> Tensor:
    return torch.cat([p.grad.flatten() for p in stage.cast.student_parameters if p.grad is not None])


def test_coupled_regression_lowers_its_loss(tiny_zimage_folder: Path, tmp_path: Path) -> None:
    stage = stage_two(tiny_zimage_folder, tmp_path, weights=Weights(coupled=1.0, dm=0.0, anchor=0.0))
    optimizer = torch.optim.AdamW(stage.cast.student_parameters, lr=2e-2)
    losses = []

    for index in range(30):
        losses.append(float(stage.micro_step(batch(index=index))["loss/coupled"]))
        optimizer.step()
        optimizer.zero_grad()

    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_a_step_of_the_student_changes_the_student_alone_and_one_of_the_fake_the_fake_alone(
    tiny_zimage_folder: Path, tmp_path: Path
) -> None:
    stage = stage_two(tiny_zimage_folder, tmp_path, weights=ALL)
    student = torch.optim.SGD(stage.cast.student_parameters, lr=1.0)
    fake = torch.optim.SGD(stage.cast.fake_parameters, lr=1.0)
    base = {
        k: v.clone()
        for k, v in stage.cast.student.denoiser.transformer.state_dict().items()
        if "lora" not in k
    }
    start = states(stage)

    stage.micro_step(batch())
    student.step()
    stepped = states(stage)
    stage.update_fake(fake, clip=1.0)
    followed = states(stage)

    assert changed(start, stepped) == {STUDENT}
    assert changed(stepped, followed) == {FAKE}
    now = stage.cast.student.denoiser.transformer.state_dict()
    assert all(torch.equal(tensor, now[key]) for key, tensor in base.items())


def test_the_fake_network_comes_closer_to_what_the_student_draws(
    tiny_zimage_folder: Path, tmp_path: Path
) -> None:
    stage = stage_two(tiny_zimage_folder, tmp_path, weights=Weights(coupled=0.0, dm=1.0, anchor=0.0))
    fake = torch.optim.AdamW(stage.cast.fake_parameters, lr=2e-2)
    losses = []

    for _ in range(10):
        stage.micro_step(batch(), pushes=False)  # the student stands still
        losses.append(float(stage.update_fake(fake, clip=None)["loss/fake"]))

    assert losses[-1] < 0.9 * losses[0]
    assert all(parameter.grad is None for parameter in stage.cast.student_parameters)


@pytest.mark.parametrize("kind", [None, "int8"])
@pytest.mark.parametrize("how", ["checkpointed", "swapped", "offloaded"])
def test_gradients_do_not_depend_on_how_memory_is_spared(
    how: str, kind: str | None, tiny_zimage_folder: Path, tmp_path: Path
) -> None:
    plain = Placement(torch.device("cpu"), torch.float32, kind=kind)
    spared = {
        "checkpointed": plain.without(checkpointing="full"),
        "swapped": plain.without(checkpointing="selective", offload_blocks=0.5),
        "offloaded": plain.without(checkpointing="full", offload_activations=True),
    }[how]
    found = []

    for placement in (plain, spared):
        stage = stage_two(tiny_zimage_folder, tmp_path, weights=ALL, placement=placement, guidance=0.5)
        stage.micro_step(batch())
        found.append(gradient(stage))

    assert found[0].abs().max() > 0
    assert torch.equal(*found)


def test_accumulated_micro_batches_add_up_to_the_mean(tiny_zimage_folder: Path, tmp_path: Path) -> None:
    singles = []
    for index in (0, 1):
        alone = stage_two(tiny_zimage_folder, tmp_path, weights=ALL)
        alone.micro_step(batch(index=index))
        singles.append(gradient(alone))

    both = stage_two(tiny_zimage_folder, tmp_path, weights=ALL, accumulate=2)
    for index in (0, 1):
        both.micro_step(batch(index=index))

    assert torch.allclose(gradient(both), torch.stack(singles).mean(0), rtol=1e-3, atol=1e-7)


def test_a_student_that_changes_nothing_is_at_the_anchor(tiny_zimage_folder: Path, tmp_path: Path) -> None:
    stage = stage_two(tiny_zimage_folder, tmp_path, weights=Weights(coupled=0.0, dm=0.0, anchor=1.0))
    moved = float(stage.micro_step(batch())["loss/anchor"])
    bare = stage.cast.student.velocity
    prior = stage.banks.prior(["", ""], size=2, root=tmp_path / "drawn", bare=bare, weights="tiny")
    stage.prior = prior
    away = float(stage.micro_step(batch())["loss/anchor"])

    stage.cast.clear_student()
    at_rest = float(stage.micro_step(batch())["loss/anchor"])

    assert moved > 0
    assert away > 1e-4
    assert at_rest < 1e-10  # the velocity is recovered from states in fp32


def test_the_forward_passes_are_those_of_the_table(tiny_zimage_folder: Path, tmp_path: Path) -> None:
    stage = stage_two(tiny_zimage_folder, tmp_path, weights=ALL)
    fake = torch.optim.SGD(stage.cast.fake_parameters, lr=0.0)

    stage.micro_step(batch())
    stage.update_fake(fake, clip=None)

    assert (
        stage.spent() / 2 == 4 + 3 * 3 + 2 + 2 * 3
    )  # rollout, three terms, two scores, two updates of the fake


def test_pushes_wait_for_the_fake_network_and_the_fake_learns_meanwhile(
    tiny_zimage_folder: Path, tmp_path: Path
) -> None:
    stage = stage_two(tiny_zimage_folder, tmp_path, weights=Weights(coupled=0.0, dm=1.0, anchor=0.0))
    fake = torch.optim.SGD(stage.cast.fake_parameters, lr=0.1)
    start = states(stage)

    told = stage.micro_step(batch(), pushes=False)
    stage.update_fake(fake, clip=None)

    assert "loss/dm" not in told
    assert all(
        parameter.grad is None for parameter in adapter_parameters(stage.cast.student.denoiser.transformer)
    )
    assert changed(start, states(stage)) == {FAKE}
