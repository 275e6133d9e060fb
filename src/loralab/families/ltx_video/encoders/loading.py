"""The networks around LTX-Video's transformer, each from its folder of an LTX2Pipeline; safetensors only.

    text_encoder    Gemma 3: its language layers alone, filled tensor by tensor, in int8 wherever the base is quantised
    connectors      in the base's precision; they follow Gemma and are part of the text encoder here
    vae, audio_vae, vocoder    in fp32: latents are made once and regressed for ever

Gemma's picture tower and its language-model head, which encoding does without, are never read.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from loralab.families.shared import components
from loralab.families.shared.checkpoint import Checkpoint, weight_files
from loralab.families.shared.prompts import QUANTIZED
from loralab.memory import Placement
from loralab.memory.loading import empty, fill, tensors_of

LANGUAGE = re.compile(r"(?:model\.|language_model\.)*((?:embed_tokens|layers|norm)\..+)")
"""Tensors of Gemma's language layers, as transformers 4 and 5 and the text-only classes name them."""
GEMMA_CLASSES = ("Gemma3ForConditionalGeneration", "Gemma3ForCausalLM", "Gemma3TextModel")

load_vae = functools.partial(components.load_vae, class_name="AutoencoderKLLTX2Video")


def load_gemma(checkpoint: Checkpoint, placement: Placement) -> nn.Module:
    """Gives Gemma's language layers on the device, in int8 where the base is quantised."""
    holding = dataclasses.replace(placement.encoder(), quantized=QUANTIZED)
    tensors = _language_tensors(checkpoint.weights("text_encoder"))
    return fill(empty_gemma(checkpoint), tensors, holding)


def empty_gemma(checkpoint: Checkpoint) -> nn.Module:
    """Gives Gemma's language layers on the meta device; reads the config only.

    Raises:
        UserError: if the checkpoint's text encoder is no Gemma 3, as in LTX-2.5.
    """
    from transformers import AutoConfig, Gemma3TextModel

    components.require_class(checkpoint, "text_encoder", GEMMA_CLASSES)
    config = checkpoint.config("text_encoder")
    config = AutoConfig.for_model(**config).get_text_config()
    return empty(lambda: Gemma3TextModel._from_config(config))


def load_connectors(checkpoint: Checkpoint, placement: Placement) -> nn.Module:
    """Gives the networks between Gemma and the transformer, in the base's precision, on the device."""
    from diffusers.pipelines.ltx2 import LTX2TextConnectors

    network = _loaded(checkpoint, "connectors", (LTX2TextConnectors,), dtype=placement.dtype)
    return network.to(placement.device)


def load_audio_vae(checkpoint: Checkpoint, placement: Placement) -> nn.Module:
    """Gives the VAE of spectrograms in fp32, whatever the base is held in."""
    from diffusers import AutoencoderKLLTX2Audio

    return _loaded(checkpoint, "audio_vae", (AutoencoderKLLTX2Audio,), dtype=torch.float32)


def load_vocoder(checkpoint: Checkpoint, placement: Placement) -> nn.Module:
    """Gives what makes a waveform of a spectrogram, in fp32; that of 2.3 also extends the bandwidth to 24 kHz."""
    from diffusers.pipelines.ltx2 import LTX2Vocoder, LTX2VocoderWithBWE

    return _loaded(checkpoint, "vocoder", (LTX2VocoderWithBWE, LTX2Vocoder), dtype=torch.float32)


def _loaded(
    checkpoint: Checkpoint, component: str, classes: tuple[Any, ...], *, dtype: torch.dtype
) -> nn.Module:
    known = {network_class.__name__: network_class for network_class in classes}
    network_class = known[components.require_class(checkpoint, component, known)]
    folder = checkpoint.weights(component)
    network: nn.Module = network_class.from_pretrained(folder, torch_dtype=dtype, use_safetensors=True)
    return network.requires_grad_(False).eval()


def _language_tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in tensors_of(weight_files(folder)):
        language = LANGUAGE.fullmatch(name)
        if language:
            yield language[1], tensor
