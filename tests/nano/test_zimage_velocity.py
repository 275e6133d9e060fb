"""The batched velocity is diffusers' own forward pass with clock and sign turned, for prompts of any lengths."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from tests.tiny import zimage_transformer
from torch import Tensor, nn

from loralab.nano.zimage import batched_velocity, compilable

SIGMA = torch.tensor([0.1, 0.5, 0.93])


@pytest.fixture
def transformer() -> Any:
    torch.manual_seed(0)
    made = zimage_transformer()
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.3)
    return made


def given(lengths: tuple[int, ...], *, size: tuple[int, int] = (8, 12)) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    noisy = torch.randn(len(lengths), 16, *size)
    return noisy, torch.randn(len(lengths), max(lengths), 16), torch.tensor(lengths)


def theirs(transformer: Any, noisy: Tensor, embeds: Tensor, lengths: Tensor) -> Tensor:
    prompts = [row[:length] for row, length in zip(embeds, lengths.tolist(), strict=True)]
    answers = transformer(list(noisy[:, :, None].unbind()), 1 - SIGMA, prompts, return_dict=False)[0]
    return -torch.stack(list(answers)).squeeze(2)


@pytest.mark.parametrize("lengths", [(3, 16, 1), (32, 7, 20), (33, 5, 70), (64, 64, 40)])
@pytest.mark.parametrize("size", [(8, 12), (16, 16)])  # 24 tokens, padded to 32; 64 tokens, as they are
def test_the_velocity_is_that_of_the_real_forward(
    transformer: Any, lengths: tuple[int, ...], size: tuple[int, int]
) -> None:
    noisy, embeds, lengths_of = given(lengths, size=size)

    with torch.no_grad():
        expected = theirs(transformer, noisy, embeds, lengths_of)
        ours = batched_velocity(transformer, noisy, sigma=SIGMA, prompt_embeds=embeds, lengths=lengths_of)
        real = batched_velocity(
            compilable(transformer), noisy, sigma=SIGMA, prompt_embeds=embeds, lengths=lengths_of
        )

    assert expected.std() > 0.1
    assert torch.allclose(ours, expected, atol=2e-5 * float(expected.std()))
    assert torch.allclose(real, expected, atol=2e-5 * float(expected.std()))


@pytest.mark.parametrize("lengths", [(3, 16, 1), (33, 5, 70)])
def test_gradients_are_those_of_the_real_forward(transformer: Any, lengths: tuple[int, ...]) -> None:
    noisy, embeds, lengths_of = given(lengths)
    other = compilable(copy.deepcopy(transformer))

    theirs(transformer, noisy, embeds, lengths_of).square().mean().backward()
    batched_velocity(
        other, noisy, sigma=SIGMA, prompt_embeds=embeds, lengths=lengths_of
    ).square().mean().backward()

    for (name, one), two in zip(transformer.named_parameters(), other.parameters(), strict=True):
        assert one.grad is not None and two.grad is not None, name
        assert torch.allclose(one.grad, two.grad, atol=1e-4 * float(one.grad.abs().max()) + 1e-8), name


def test_what_stands_behind_a_prompts_length_is_ignored(transformer: Any) -> None:
    noisy, embeds, lengths = given((3, 16, 1))
    changed = embeds.clone()
    changed[0, 3:], changed[2, 1:] = 100.0, -7.0

    with torch.no_grad():
        first, second = (
            batched_velocity(transformer, noisy, sigma=SIGMA, prompt_embeds=rows, lengths=lengths)
            for rows in (embeds, changed)
        )

    assert torch.equal(first, second)
