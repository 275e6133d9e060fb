"""A checkpoint held in fewer bits, or in part in main memory, is read from its files tensor by tensor."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.memory.held import CPU, error
from torch import Tensor

from loralab.denoiser import Denoiser, Sampling
from loralab.families.flux2_klein import Flux2Klein
from loralab.families.z_image import ZImage
from loralab.linears import FrozenLinear
from loralab.memory import Placement

SAMPLING = Sampling(num_steps=4, guidance_scale=0.0, height=64, width=64)
PROMPTS = ["a photo of a cat on the moon", "a robot is dancing, painted in oil"]
DENSE, BF16 = Placement(CPU, torch.float32), Placement(CPU, torch.bfloat16)
LIMIT = {"int8": 0.03, "fp8": 0.1, "nf4": 0.25}
"""Relative error of the velocity of a twin with random weights."""


@pytest.fixture(params=["flux2_klein", "z_image"])
def denoiser(request: pytest.FixtureRequest, tiny_klein_folder: Path, tiny_zimage_folder: Path) -> Denoiser:
    if request.param == "flux2_klein":
        return Flux2Klein(
            name="tiny", checkpoint=str(tiny_klein_folder), sampling=SAMPLING, max_prompt_length=32
        )
    return ZImage(name="tiny", checkpoint=str(tiny_zimage_folder), sampling=SAMPLING)


def velocity(denoiser: Denoiser, embeds: list[Tensor]) -> Tensor:
    source = torch.Generator().manual_seed(1)
    noisy = torch.randn(2, *denoiser.latents_shape(height=64, width=64), generator=source)
    with torch.no_grad():
        return denoiser.velocity(noisy, sigma=torch.tensor([0.3, 0.8]), prompt_embeds=embeds)


def test_in_bf16_filling_gives_what_loading_whole_gives(denoiser: Denoiser) -> None:
    denoiser.place(BF16)
    embeds = denoiser.encode_prompts(PROMPTS)
    whole, expected = denoiser.transformer.state_dict(), velocity(denoiser, embeds)

    denoiser.place(BF16.without(offload_blocks=0.5))
    filled = denoiser.transformer.state_dict()

    assert whole.keys() == filled.keys()
    assert all(torch.equal(whole[name], tensor) for name, tensor in filled.items())
    assert torch.equal(velocity(denoiser, embeds), expected)


@pytest.mark.parametrize(
    ("kind", "dtype", "low_bit"),
    [
        ("int8", torch.float32, False),
        ("int8", torch.bfloat16, True),
        ("fp8", torch.float32, False),
        ("fp8", torch.bfloat16, True),
        ("nf4", torch.bfloat16, False),
    ],
)
def test_a_quantised_transformer_answers_nearly_as_the_dense_one(
    denoiser: Denoiser, kind: str, dtype: torch.dtype, low_bit: bool
) -> None:
    embeds = denoiser.encode_prompts(PROMPTS)
    expected = velocity(denoiser, embeds)

    denoiser.place(Placement(CPU, dtype, kind=kind, low_bit=low_bit))

    assert any(isinstance(module, FrozenLinear) for module in denoiser.transformer.modules())
    assert 1e-4 < error(velocity(denoiser, embeds), expected) < LIMIT[kind]


@pytest.mark.parametrize("kind", ["int8", "nf4"])
def test_a_quantised_base_comes_with_an_int8_encoder_that_embeds_nearly_the_same(
    denoiser: Denoiser, kind: str
) -> None:
    dense, known = denoiser.encode_prompts(PROMPTS), denoiser.prompt_fingerprint()

    denoiser.place(DENSE.without(kind=kind))
    quantised = denoiser.encode_prompts(PROMPTS)

    for one, other in zip(quantised, dense, strict=True):
        assert one.shape == other.shape
        assert not torch.equal(one, other)
        assert torch.cosine_similarity(one, other, dim=-1).min() > 0.99
    assert denoiser.prompt_fingerprint() != known


def test_an_encoder_without_a_head_is_quantised_too(tmp_path: Path) -> None:
    from tests.tiny import save_zimage

    denoiser = ZImage(
        name="tiny", checkpoint=str(save_zimage(tmp_path / "bare", bare_encoder=True)), sampling=SAMPLING
    )
    dense = denoiser.encode_prompts(PROMPTS)

    denoiser.place(DENSE.without(kind="int8"))

    for one, other in zip(denoiser.encode_prompts(PROMPTS), dense, strict=True):
        assert torch.cosine_similarity(one, other, dim=-1).min() > 0.99


def test_a_new_placement_reads_the_transformer_anew_and_the_same_one_does_not(denoiser: Denoiser) -> None:
    first = denoiser.transformer

    denoiser.place(DENSE)
    same = denoiser.transformer
    denoiser.place(DENSE.without(kind="int8"))

    assert same is first
    assert denoiser.transformer is not first
