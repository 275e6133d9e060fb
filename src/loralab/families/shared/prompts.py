"""Qwen3 as a text encoder: one user turn of its chat template, hidden states of chosen layers.

Prompts are encoded one at a time, so that an embedding does not depend on what else was in the batch.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from loralab.errors import UserError

log = logging.getLogger(__name__)


def load_encoder(folder: Path, class_name: str, dtype: torch.dtype) -> nn.Module:
    """Gives the Qwen3 decoder stack of a folder; a language-model head is dropped."""
    from transformers import Qwen3ForCausalLM, Qwen3Model

    classes = {"Qwen3ForCausalLM": Qwen3ForCausalLM, "Qwen3Model": Qwen3Model}
    if class_name not in classes:
        raise UserError(
            f"model.checkpoint: the text encoder in {folder} is a {class_name}, known are {', '.join(classes)}."
        )
    network: nn.Module = (
        classes[class_name].from_pretrained(folder, dtype=dtype, use_safetensors=True).base_model
    )
    return network


def load_tokenizer(folder: Path) -> Any:
    """Gives the tokenizer of a folder, checked to have a chat template."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if not tokenizer.chat_template:
        raise UserError(
            f"model.checkpoint: the tokenizer in {folder} has no chat template, which prompts are wrapped in."
        )
    return tokenizer


def chat_text(tokenizer: Any, prompt: str, *, thinking: bool) -> str:
    """Wraps a prompt as one user turn; without thinking, Qwen3's template adds an empty think block."""
    turn = [{"role": "user", "content": prompt}]
    text: str = tokenizer.apply_chat_template(
        turn, tokenize=False, add_generation_prompt=True, enable_thinking=thinking
    )
    return text


def tokens_of(
    tokenizer: Any, text: str, *, max_length: int, padded: bool
) -> tuple[Int[Tensor, " 1 l"], Int[Tensor, " 1 l"]]:
    """Gives token ids and the mask of real ones, cut to `max_length` and on request padded to it."""
    tokens = tokenizer(
        text,
        return_tensors="pt",
        truncation=True,
        max_length=max_length,
        padding="max_length" if padded else False,
    )
    length = len(tokenizer(text)["input_ids"])
    if length > max_length:
        log.warning("a prompt of %d tokens is cut to %d: %.120r", length, max_length, text)
    return tokens["input_ids"], tokens["attention_mask"]


@torch.no_grad()
def hidden_states(
    encoder: nn.Module, ids: Int[Tensor, " 1 l"], *, mask: Int[Tensor, " 1 l"], layers: Sequence[int]
) -> Float[Tensor, " l d"]:
    """Gives the hidden states of chosen layers side by side, on the CPU; layer 0 is the embedding."""
    device = next(encoder.parameters()).device
    output = encoder(
        input_ids=ids.to(device), attention_mask=mask.to(device), output_hidden_states=True, use_cache=False
    )
    return torch.cat([output.hidden_states[layer][0] for layer in layers], dim=-1).cpu()
