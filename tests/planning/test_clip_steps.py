"""The planner beside what a step of LTX-2.3 needed on a GPU (docs/ltx_speed.json)."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from bench.ltx_cases import LTX23, PROMPT_TOKENS, ClipCase
from bench.step import placement_of
from torch import nn

from loralab.families.ltx_video.components import QUANTIZED, STREAMS, without_sound
from loralab.families.ltx_video.targets import TARGETS, used_pattern
from loralab.memory.loading import empty
from loralab.memory.plan import Adapter, Blueprint, Peaks, Subject, Tokens
from loralab.memory.plan.coefficients import measured

ROWS = [
    row
    for row in json.loads((Path(__file__).parents[2] / "docs" / "ltx_speed.json").read_text())
    if row["variant"] == "ours"
]


@functools.cache
def blueprint(*, has_audio: bool) -> Blueprint:
    """The transformer of the true shape; nothing else is there while a step is made."""
    from diffusers import LTX2VideoTransformer3DModel

    whole: Any = empty(lambda: LTX2VideoTransformer3DModel(**LTX23))
    heads, width = whole.config.num_attention_heads, whole.config.attention_head_dim
    return Blueprint(
        family="ltx_video", transformer=whole if has_audio else without_sound(whole), text_encoder=nn.Identity(),
        vae=nn.Identity(), quantized=QUANTIZED, encoder_quantized="", dim=heads * width, num_heads=heads,
        prompt_tokens=PROMPT_TOKENS, longest_prompt=PROMPT_TOKENS, vae_channels=(1,), streams=STREAMS,
    )  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['size']}-{row['audio']}-{row['label']}")
def test_a_step_needs_what_was_measured(row: dict[str, Any]) -> None:
    case = ClipCase(**{key: row[key] for key in ClipCase.__dataclass_fields__ if key in row})
    pattern = used_pattern(TARGETS["attention_mlp"], "attention_mlp", has_video=True, has_audio=case.audio)
    tokens = Tokens(
        picture=case.tokens,
        prompt=PROMPT_TOKENS,
        audio=case.audio_tokens if case.audio else 0,
        prompt_is_apart=True,
    )
    placement = placement_of(case, torch.device("cuda"))
    subject = Subject(blueprint(has_audio=case.audio), Adapter(case.rank, pattern), tokens)

    predicted = Peaks(subject, measured()).step(placement) / 2**30

    assert -0.02 <= predicted / row["peak_gib"] - 1 <= 0.05
