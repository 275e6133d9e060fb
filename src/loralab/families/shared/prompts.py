"""Qwen3 as a text encoder: one user turn of its chat template, hidden states of chosen layers.

Prompts are encoded one at a time, so that an embedding does not depend on what else was in the batch.
"""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from loralab.errors import UserError
from loralab.families.shared.checkpoint import Checkpoint, weight_files
from loralab.memory import Placement
from loralab.memory.loading import empty, fill, tensors_of

QUANTIZED = r"layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)"
"""Linear layers of Qwen3 that are quantised where weights are: all that its layers have."""

log = logging.getLogger(__name__)


def load_encoder(checkpoint: Checkpoint, placement: Placement, *, num_layers: int | None = None) -> nn.Module:
    """Gives the Qwen3 decoder stack of a checkpoint, as placed, up to `num_layers`, without a language-model head."""
    from transformers import Qwen3ForCausalLM, Qwen3Model

    folder, class_name = checkpoint.weights("text_encoder"), checkpoint.class_name("text_encoder")
    classes = {"Qwen3ForCausalLM": Qwen3ForCausalLM, "Qwen3Model": Qwen3Model}
    if class_name not in classes:
        raise UserError(
            f"model.checkpoint: the text encoder in {folder} is a {class_name}, known are {', '.join(classes)}."
        )
    if placement.kind is None:
        loaded = classes[class_name].from_pretrained(folder, dtype=placement.dtype, use_safetensors=True)
        encoder: Any = loaded.base_model
        encoder.layers = encoder.layers[:num_layers]
        encoder.config.num_hidden_layers = len(encoder.layers)
        return cast(nn.Module, encoder)
    holding = dataclasses.replace(placement.encoder(), quantized=QUANTIZED)
    network: Any = empty_encoder(checkpoint, num_layers=num_layers)
    return fill(network, _decoder_tensors(folder, network.config.num_hidden_layers), holding)


def empty_encoder(checkpoint: Checkpoint, *, num_layers: int | None = None) -> nn.Module:
    """Gives the decoder stack up to `num_layers` on the meta device; reads its config only."""
    from transformers import Qwen3Config, Qwen3Model

    config = Qwen3Config.from_dict(checkpoint.config("text_encoder"))
    config.num_hidden_layers = min(num_layers or config.num_hidden_layers, config.num_hidden_layers)
    return empty(lambda: Qwen3Model._from_config(config))


def _decoder_tensors(folder: Path, num_layers: int) -> Iterator[tuple[str, Tensor]]:
    """Gives what the shortened decoder stack has, under its own names."""
    for name, tensor in tensors_of(weight_files(folder)):
        own = name.removeprefix("model.")
        layer = re.match(r"layers\.(\d+)\.", own)
        if own.startswith("lm_head.") or (layer and int(layer[1]) >= num_layers):
            continue
        yield own, tensor


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
