"""Prompts: equality with diffusers' pipeline and connectors, what a fingerprint depends on, and refusals."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from loralab.errors import UserError
from loralab.families.ltx_video.encoders.text import (
    PromptEmbeds,
    TextEncoder,
    encode_prompt,
    load_text_encoder,
    load_tokenizer,
    prompt_fingerprint,
)
from loralab.families.shared.checkpoint import Checkpoint
from loralab.memory import Placement

CPU = torch.device("cpu")
PROMPT = "  a robot is dancing on the moon, small and red "


def encoded(checkpoint: Checkpoint, prompt: str, placement: Placement, **settings: int) -> PromptEmbeds:
    encoder, tokenizer = (
        load_text_encoder(checkpoint, placement),
        load_tokenizer(checkpoint.files("tokenizer")),
    )
    return encode_prompt(encoder, tokenizer, prompt=prompt, **settings)


@torch.no_grad()
def expected(pipeline: Any, prompt: str) -> tuple[Tensor, Tensor]:
    embeds, mask, _, _ = pipeline.encode_prompt(prompt, do_classifier_free_guidance=False)
    video, audio, _ = pipeline.connectors(embeds, mask, padding_side=pipeline.tokenizer.padding_side)
    return video[0], audio[0]


@pytest.mark.parametrize("prompt", [PROMPT, "", "a small cat " * 400], ids=["short", "empty", "cut"])
def test_embeds_are_those_of_the_pipeline_and_its_connectors(
    checkpoint: Checkpoint, pipeline: Any, prompt: str
) -> None:
    video, audio = expected(pipeline, prompt)

    embeds = encoded(checkpoint, prompt, Placement(CPU, torch.float32))

    assert torch.equal(embeds.video, video.bfloat16())  # tolerance: none, but for what bf16 keeps
    assert torch.equal(embeds.audio, audio.bfloat16())
    assert embeds.video.shape == (1024, 32) and embeds.audio.shape == (1024, 16)


def test_embeds_of_a_bf16_encoder_are_those_of_a_bf16_pipeline(
    ltx_folder: Path, checkpoint: Checkpoint
) -> None:
    from diffusers import LTX2Pipeline

    halved = LTX2Pipeline.from_pretrained(ltx_folder, dtype=torch.bfloat16)
    video, audio = expected(halved, PROMPT)

    embeds = encoded(checkpoint, PROMPT, Placement(CPU, torch.bfloat16))

    assert torch.equal(embeds.video, video)
    assert torch.equal(embeds.audio, audio)


def test_an_int8_gemma_gives_nearly_the_same_embeds(checkpoint: Checkpoint) -> None:
    exact = encoded(checkpoint, PROMPT, Placement(CPU, torch.float32))

    embeds = encoded(checkpoint, PROMPT, Placement(CPU, torch.float32, kind="int8"))

    for stream in ("video", "audio"):
        there, here = getattr(exact, stream).float(), getattr(embeds, stream).float()
        assert 0 < (there - here).norm() / there.norm() < 0.01  # 0.0017 as measured


def test_only_the_prompt_counts_and_not_the_padding_before_it(checkpoint: Checkpoint) -> None:
    placement = Placement(CPU, torch.float32)
    encoder: TextEncoder = load_text_encoder(checkpoint, placement)
    ids = torch.randint(10, 300, (1, 32))
    mask = torch.ones_like(ids)
    mask[:, :20] = 0

    with torch.no_grad():
        video, _ = encoder(ids, mask)
        otherwise, _ = encoder(torch.where(mask == 1, ids, 0), mask)
        prompt_changed, _ = encoder(torch.where(mask == 0, ids, 7), mask)

    assert torch.equal(video, otherwise)
    assert not torch.allclose(video, prompt_changed)


def test_a_length_that_registers_do_not_fill_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(UserError, match=r"model\.max_prompt_length=1020 is no multiple of the 8 registers"):
        encoded(checkpoint, PROMPT, Placement(CPU, torch.float32), max_length=1020)


def test_the_fingerprint_changes_with_all_that_embeds_depend_on(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    placement = Placement(CPU, torch.bfloat16)
    copy = Path(shutil.copytree(checkpoint.location, tmp_path / "copy"))
    other = Checkpoint(str(copy), None, pipeline="LTX2Pipeline")
    plain = prompt_fingerprint(checkpoint, placement)
    assert prompt_fingerprint(other, placement) == plain

    found = {plain, prompt_fingerprint(checkpoint, placement, max_length=512)}
    found.add(prompt_fingerprint(checkpoint, placement.without(kind="int8")))
    found.add(prompt_fingerprint(checkpoint, placement.without(dtype=torch.float32)))
    for component, name in [("connectors", "diffusion_pytorch_model"), ("text_encoder", "model")]:
        weights = copy / component / f"{name}.safetensors"
        tensors = load_file(weights)
        tensors[min(tensors)] += 1
        save_file(tensors, weights, metadata={"format": "pt"})
        found.add(prompt_fingerprint(other, placement))

    assert len(found) == 6
