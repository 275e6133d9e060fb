"""diffusers' own pipelines around the same networks, to compare with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from loralab.data.video.encoders import PromptEmbeds
from loralab.families.ltx_video import LtxVideo
from loralab.families.ltx_video.tokens import pack_audio, unpack_audio


class Connected(nn.Module):
    """Stands for the connectors and answers with embeddings that are there already, which cached ones round to bf16."""

    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self, *prompts: PromptEmbeds) -> None:
        super().__init__()
        self.prompts = prompts

    def forward(self, *_: Any, **__: Any) -> tuple[Tensor, Tensor, Tensor]:
        video = torch.stack([prompt.video for prompt in self.prompts]).float()
        audio = torch.stack([prompt.audio for prompt in self.prompts]).float()
        return video, audio, torch.ones(video.shape[:2])


def pipeline_of(model: LtxVideo, kind: Any, *prompts: PromptEmbeds) -> Any:
    """Gives a pipeline of diffusers for prompts, the negative one first where there is guidance."""
    made = kind.from_pretrained(model.checkpoint.location, transformer=model.transformer)
    made.connectors = Connected(*prompts)
    made.set_progress_bar_config(disable=True)
    return made


def call(pipeline: Any, **settings: Any) -> tuple[Any, Any]:
    """Calls it; the prompts are those it was made for."""
    fixed = {"prompt": "a fox", "negative_prompt": "dull", "max_sequence_length": 16, "return_dict": False}
    return pipeline(**fixed, **settings)


def normalised(pipeline: Any, video: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
    """Gives the latents that a pipeline answers with as ours are."""
    vae, audio_vae = pipeline.vae, pipeline.audio_vae
    seen = pipeline._normalize_latents(video, vae.latents_mean, vae.latents_std, vae.config.scaling_factor)
    heard = pipeline._normalize_audio_latents(
        pack_audio(audio), audio_vae.latents_mean, audio_vae.latents_std
    )
    return seen, unpack_audio(heard, channels=audio.shape[1])


def raw(pipeline: Any, video: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
    """Gives latents of ours as a pipeline takes them; the reverse of `normalised`."""
    vae, audio_vae = pipeline.vae, pipeline.audio_vae
    seen = pipeline._denormalize_latents(video, vae.latents_mean, vae.latents_std, vae.config.scaling_factor)
    heard = pipeline._denormalize_audio_latents(
        pack_audio(audio), audio_vae.latents_mean, audio_vae.latents_std
    )
    return seen, unpack_audio(heard, channels=audio.shape[1])
