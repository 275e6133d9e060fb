from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.data.pictures import dataset, draw, draw_set

from loralab.data import encode
from loralab.denoiser import Sampling
from loralab.families.flux2_klein import Flux2Klein


@pytest.fixture
def denoiser(tiny_klein_folder: Path) -> Flux2Klein:
    sampling = Sampling(num_steps=2, guidance_scale=1.0, height=64, width=64)
    return Flux2Klein(
        name="tiny",
        checkpoint=str(tiny_klein_folder),
        sampling=sampling,
        text_layers=(1, 2, 3),
        max_prompt_length=32,
    )


def test_a_real_model_encodes_what_it_would_encode_alone(tmp_path: Path, denoiser: Flux2Klein) -> None:
    collection = dataset(draw_set(tmp_path / "set", count=3), trigger="sks").collect(denoiser.size_multiple)

    encoded = encode(collection, denoiser)

    for batch in encoded.loader(micro_batch_size=2, num_micro_steps=3, seed=0):
        assert batch.latents.shape[1:] == denoiser.latents_shape(height=64, width=64)
        assert all(caption.startswith("sks, picture") for caption in batch.captions)
        expected = denoiser.encode_prompts(batch.captions)
        assert all(torch.equal(*pair) for pair in zip(batch.prompt_embeds, expected, strict=True))
    assert encoded.latents_shapes() == [denoiser.latents_shape(height=64, width=64)]


def test_a_second_run_of_a_real_model_encodes_new_pictures_only(tmp_path: Path, denoiser: Flux2Klein) -> None:
    root = draw_set(tmp_path / "set", count=2)
    encode(dataset(root).collect(denoiser.size_multiple), denoiser)
    draw(root / "new.png", seed=9, caption="picture 1")

    summary = encode(dataset(root).collect(denoiser.size_multiple), denoiser).summary()

    assert (summary["prompts_encoded"], summary["latents_encoded"]) == (0, 1)
