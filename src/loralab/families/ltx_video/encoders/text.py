"""Prompts of LTX-Video: every layer of Gemma 3, then a connector for each of the two streams.

    states = Gemma(prompt, padded on the left to 1024)            [l, width, layers + 1]; layer 0 is the embedding
    states = states / rms(states over width), 0 where padded      each token and layer by itself
    video  = video_connector(video_in(states sqrt(d_video / width)))
    audio  = audio_connector(audio_in(states sqrt(d_audio / width)))
A connector moves the prompt's tokens to the front and puts learned registers where padding was, so that every one of
its outputs counts and no mask is needed afterwards. Both are frozen: what is kept of a prompt are their outputs (12 MiB
for 1024 tokens in bf16, of Gemma's layers it would be 368 MiB), and neither Gemma nor they are needed for training.
Conventions: Lightricks' ltx-core and diffusers' LTX2Pipeline.encode_prompt and LTX2TextConnectors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from loralab.data.video.encoders import PromptEmbeds
from loralab.errors import UserError
from loralab.families.ltx_video.encoders.loading import load_connectors, load_gemma
from loralab.families.shared.checkpoint import Checkpoint
from loralab.families.shared.digest import component_digest, digest_of, folder_digest
from loralab.families.shared.prompts import tokens_of
from loralab.memory import Placement

MAX_LENGTH = 1024
"""Tokens that a prompt is padded and cut to: LTX2Pipeline's `max_sequence_length`."""


class TextEncoder(nn.Module):
    """Gemma and the connectors as one network, which is loaded and freed as one."""

    def __init__(self, gemma: nn.Module, connectors: nn.Module) -> None:
        """Takes both, on one device."""
        super().__init__()
        self.gemma, self.connectors = gemma, connectors

    @property
    def registers(self) -> int:
        """How many learned registers a connector has; it repeats them over the padding."""
        config: Any = self.connectors.config
        return int(config.video_connector_num_learnable_registers)

    @property
    def config(self) -> Any:
        """Gemma's, which says how large its states are."""
        return self.gemma.config

    def forward(
        self, ids: Int[Tensor, " b l"], mask: Int[Tensor, " b l"]
    ) -> tuple[Float[Tensor, " b l d_video"], Float[Tensor, " b l d_audio"]]:
        """Gives the connectors' outputs for token ids that are padded on the left where the mask is 0."""
        output = self.gemma(input_ids=ids, attention_mask=mask, output_hidden_states=True, use_cache=False)
        states = torch.stack(output.hidden_states, dim=-1)
        video, audio, _ = self.connectors(states, mask, padding_side="left")
        return video, audio


def load_text_encoder(checkpoint: Checkpoint, placement: Placement) -> TextEncoder:
    """Gives Gemma, in int8 where the base is quantised, and the connectors, on the device."""
    return TextEncoder(load_gemma(checkpoint, placement), load_connectors(checkpoint, placement))


def load_tokenizer(folder: Path) -> Any:
    """Gives Gemma's tokenizer, set to pad on the left; prompts are wrapped in no template."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


@torch.no_grad()
def encode_prompt(
    encoder: TextEncoder, tokenizer: Any, *, prompt: str, max_length: int = MAX_LENGTH
) -> PromptEmbeds:
    """Embeds one prompt by itself, so that it does not depend on what else is encoded.

    Args:
        encoder: from `load_text_encoder`.
        tokenizer: from `load_tokenizer`.
        prompt: a longer one is cut, with a warning.
        max_length: tokens that it is padded to.

    Raises:
        UserError: if the registers do not fill `max_length` evenly.
    """
    if max_length % encoder.registers:
        raise UserError(
            f"model.max_prompt_length={max_length} is no multiple of the {encoder.registers} registers that fill a"
            f" prompt's padding. Set the vendor's {MAX_LENGTH}."
        )
    ids, mask = tokens_of(tokenizer, prompt.strip(), max_length=max_length, padded=True)
    device = next(encoder.parameters()).device
    video, audio = encoder(ids.to(device), mask.to(device))
    return PromptEmbeds(video=video[0].to("cpu", torch.bfloat16), audio=audio[0].to("cpu", torch.bfloat16))


def prompt_fingerprint(checkpoint: Checkpoint, placement: Placement, *, max_length: int = MAX_LENGTH) -> str:
    """Digests what `encode_prompt` depends on besides the prompt: networks, tokenizer, precision and length."""
    networks = {
        name: component_digest(checkpoint.weights(name), checkpoint.config(name))
        for name in ("text_encoder", "connectors")
    }
    precision = [placement.encoder().kind, str(placement.dtype)]
    tokenizer = folder_digest(checkpoint.files("tokenizer"))
    return digest_of([networks, tokenizer, precision, {"max_length": max_length, "padding": "left"}])
