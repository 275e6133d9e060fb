"""Distillation on points in the plane, where 8 steps of a base miss what 50 hit, and what measures it on pictures."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, silu

from loralab.flow import few_step_sigmas, interpolate, rollout
from loralab.nano.distill_draws import Draws, Text
from loralab.nano.distill_recipe import Recipe
from loralab.nano.distill_roles import Distillation
from loralab.nano.distill_score import Yardstick, compared
from loralab.nano.distill_validity import verdict

RADIUS, NEAR, BATCH = 1.3, 0.15, 128
CAPTION = Text(torch.tensor([[[1.0, 0.0]]]), torch.ones(1, dtype=torch.long))
EMPTY = Text(torch.tensor([[[0.0, 1.0]]]), torch.ones(1, dtype=torch.long))


class Plane(nn.Module):
    """A velocity network for points [b, 2, 1, 1]; the prompt is an indicator."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [nn.Linear(2 + 16 + 2, width), nn.Linear(width, width), nn.Linear(width, width)]
        )
        self.answer = nn.Linear(width, 2)

    def forward(self, noisy: Tensor, sigma: Tensor, prompt: Tensor) -> Tensor:
        angles = sigma[:, None] * torch.exp(torch.linspace(0, 3.5, 8))
        state = torch.cat([1.5 * noisy.flatten(1), angles.sin(), angles.cos(), prompt[:, 0]], dim=1)
        for layer in self.layers:
            state = silu(layer(state))
        return self.answer(state).view_as(noisy)


def predict(
    network: nn.Module, noisy: Tensor, *, sigma: Tensor, prompt_embeds: Tensor, lengths: Tensor
) -> Tensor:
    return network(noisy, sigma, prompt_embeds)


def four_points() -> Tensor:
    return RADIUS * torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])


def trained_base(num_steps: int = 1000) -> Plane:
    network = Plane()
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, num_steps)
    for _ in range(num_steps):
        data = (four_points()[torch.randint(4, (BATCH,))] + 0.05 * torch.randn(BATCH, 2))[:, :, None, None]
        noise, sigma = torch.randn_like(data), torch.rand(BATCH)
        text = CAPTION.repeated(BATCH)
        loss = (network(interpolate(data, noise, sigma), sigma, text.embeds) - (noise - data)).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return network


def distances(network: nn.Module, *, num_steps: int) -> Tensor:
    """Distances [512, 4] of drawn points to the four."""
    noise = Draws(seed=1, stream="test", index=0, device=torch.device("cpu")).normal((512, 2, 1, 1))
    text = CAPTION.repeated(512)
    sigmas = few_step_sigmas(num_steps, shift=3.0)
    drawn = rollout(lambda noisy, sigma: network(noisy, sigma, text.embeds), noise, sigmas=sigmas)
    return torch.cdist(drawn.states[-1].flatten(1), four_points())


def hits(network: nn.Module, *, num_steps: int) -> float:
    return (distances(network, num_steps=num_steps).amin(1) < NEAR).double().mean().item()


def run(distillation: Distillation, *, start: int, stop: int) -> dict[str, Tensor]:
    figures: dict[str, Tensor] = {}
    for index in range(start, stop):
        draws = Draws(seed=0, stream="test/update", index=index, device=torch.device("cpu"))
        noise = draws.normal((BATCH, 2, 1, 1))
        figures = distillation.update(noise, text=CAPTION.repeated(BATCH), draws=draws)
    return figures


@pytest.mark.slow
def test_the_student_hits_in_eight_steps_what_the_base_misses_and_leaves_no_point_out():
    base = trained_base()
    recipe = Recipe(alpha=1.0, student_lr=1e-3, fake_lr=2e-3, fake_updates=3, decay=0.95)
    distillation = Distillation(base, predict=predict, empty=EMPTY, recipe=recipe)
    before = hits(base, num_steps=8)

    run(distillation, start=0, stop=120)

    after = hits(distillation.average, num_steps=8)
    counts = distances(distillation.average, num_steps=8).argmin(1).bincount(minlength=4)
    assert before < 0.75 < hits(base, num_steps=50)
    assert after > before + 0.15
    assert counts.min() > 64
    assert hits(base, num_steps=8) == before


def test_a_resumed_distillation_goes_on_as_if_it_had_not_stopped():
    base, recipe = Plane(width=16), Recipe(alpha=1.5, fake_updates=2)
    through = Distillation(base, predict=predict, empty=EMPTY, recipe=recipe)
    first = Distillation(base, predict=predict, empty=EMPTY, recipe=recipe)
    second = Distillation(base, predict=predict, empty=EMPTY, recipe=recipe)

    expected = run(through, start=0, stop=5)
    run(first, start=0, stop=3)
    second.load_state_dict(first.state_dict())
    resumed = run(second, start=3, stop=5)

    assert second.step == 5
    assert {key: value.item() for key, value in resumed.items()} == {
        key: value.item() for key, value in expected.items()
    }


def test_an_update_moves_the_student_and_the_fake_and_leaves_the_base():
    base = Plane(width=16)
    untouched = {key: value.clone() for key, value in base.state_dict().items()}
    distillation = Distillation(base, predict=predict, empty=EMPTY, recipe=Recipe(alpha=2.0, fake_updates=1))

    figures = run(distillation, start=0, stop=2)

    assert all(torch.equal(value, untouched[key]) for key, value in base.state_dict().items())
    assert all(parameter.grad is None for parameter in base.parameters())
    for network in (distillation.student, distillation.fake, distillation.average):
        assert not torch.equal(network.answer.weight, base.answer.weight)
    assert figures["guidance"] > 0


def test_random_numbers_are_those_of_their_step_whatever_was_drawn_before():
    device = torch.device("cpu")

    once = Draws(seed=0, stream="a", index=3, device=device)
    again = Draws(seed=0, stream="a", index=3, device=device)
    other = Draws(seed=0, stream="a", index=4, device=device)

    assert torch.equal(once.normal((4, 2)), again.normal((4, 2)))
    assert torch.equal(once.uniform(5, low=2, high=3), again.uniform(5, low=2, high=3))
    assert not torch.equal(once.normal((4, 2)), other.normal((4, 2)))
    assert set(once.index(100, below=3).tolist()) == {0, 1, 2}


def test_blur_is_far_from_true_pictures_and_less_sharp_and_other_true_pictures_are_near():
    def strewn(index: int) -> Tensor:
        draws = Draws(seed=0, stream="pictures", index=index, device=torch.device("cpu"))
        return (avg_pool2d(draws.normal((256, 3, 66, 66)), 3, stride=1) * 1.5).clamp(-1, 1)

    true, other = strewn(0), strewn(1)
    yardstick = Yardstick(true, encode=lambda pixels: pixels, decode=lambda latents: latents)
    many = yardstick.measure(other)

    near = compared(many, true=yardstick.true, many=many)
    blurred = avg_pool2d(other, 3, stride=1, padding=1)
    far = compared(yardstick.measure(blurred), true=yardstick.true, many=many)

    assert near["to_many"] < 1e-6
    assert far["to_true"] > 3 * near["to_true"]
    assert far["sharpness_to_true"] < 0.6 < 0.9 < near["sharpness_to_true"] < 1.1


def test_turbo_is_valid_where_the_base_loses_by_few_steps_and_turbo_mends_it():
    def rows(*, base_50: float, base_8: float, unguided: float, turbo: float) -> dict[str, dict[str, float]]:
        values = {"base_50": base_50, "base_8": base_8, "base_8_unguided": unguided, "turbo_8": turbo}
        return {name: {"to_true": value} for name, value in values.items()}

    assert verdict(rows(base_50=2, base_8=4, unguided=5, turbo=2))["valid"]
    assert not verdict(rows(base_50=2, base_8=4, unguided=2.5, turbo=1))["valid"]
    assert not verdict(rows(base_50=2, base_8=4, unguided=5, turbo=3))["valid"]
