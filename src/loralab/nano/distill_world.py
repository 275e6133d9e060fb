"""What a distillation works with: the base's networks, captions as embeddings, pictures never trained on, sampling."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from loralab.data.emoji.atlas import TILE
from loralab.data.emoji.varied import draw_varied
from loralab.errors import UserError
from loralab.flow import euler
from loralab.flow.solver import Velocity
from loralab.nano.distill_draws import Draws, Text
from loralab.nano.distill_roles import Predict
from loralab.nano.fit import best_device
from loralab.nano.words import RESERVED
from loralab.nano.zimage import batched_velocity, compilable
from loralab.nano.zimage_bank import embed_captions, pictures, to_unit

CAPTIONS_SEED, WATCHED_SEED, HELD_OUT_SEED = 0, 20_001, 30_001
RESERVED_EVERY = 32
"""One caption in so many begins with a reserved word, which the student must go on to ignore."""


class Shown(NamedTuple):
    """Pictures that no training saw, under captions that leave them open, and noise to draw others from."""

    captions: tuple[str, ...]
    text: Text
    pixels: Float[Tensor, " b 3 height width"]
    noise: Float[Tensor, " b c h w"]


class World:
    """A base pipeline's networks on the best device here, in fp32."""

    def __init__(self, folder: Path, *, batch_size: int, compiled: bool) -> None:
        """Loads a diffusers folder; every call of a network is to have `batch_size` pictures."""
        from diffusers import ZImagePipeline

        if not (folder / "model_index.json").is_file():
            raise UserError(f"--base {folder} is not a diffusers folder: write one with export_zimage first.")
        self.device, self.batch_size = best_device(), batch_size
        pipeline = ZImagePipeline.from_pretrained(folder)
        self.shift: float = pipeline.scheduler.config.shift
        self.base: nn.Module = compilable(pipeline.transformer.float()).to(self.device)
        self._encoder, self._tokenizer = pipeline.text_encoder.float().to(self.device), pipeline.tokenizer
        self._vae: Any = pipeline.vae.float().to(self.device).eval().requires_grad_(False)
        self._predict: Predict = torch.compile(predict, dynamic=False) if compiled else predict
        self.empty = self.embed([""])

    def predict(self, network: nn.Module, noisy: Tensor, **asked: Tensor) -> Tensor:
        """Velocity of a network in the form of the base; a view would have it compiled anew for its strides."""
        return self._predict(
            network, noisy.contiguous(), **{name: each.contiguous() for name, each in asked.items()}
        )

    def embed(self, captions: Sequence[str]) -> Text:
        """Embeds captions."""
        return Text(*embed_captions(self._encoder, self._tokenizer, captions=captions))

    def training_captions(self, count: int) -> Text:
        """Captions of pictures as the base was trained on; the pictures are not drawn."""
        captions = [draw_varied(CAPTIONS_SEED, index=index).caption for index in range(count)]
        for index in range(0, count, RESERVED_EVERY):
            word = RESERVED[index // RESERVED_EVERY % len(RESERVED)]
            captions[index] = f"{word}, {captions[index]}"
        return self.embed(captions)

    def shown(self, seed: int, *, count: int) -> Shown:
        """At least `count` pictures of a seed, rounded up to whole batches."""
        count = -(-count // self.batch_size) * self.batch_size
        drawn = [draw_varied(seed, index=index) for index in range(count)]
        captions = tuple(picture.caption for picture in drawn)
        pixels = to_unit(pictures(drawn)).to(self.device)
        draws = Draws(seed=seed, stream="distill/shown", index=0, device=self.device)
        return Shown(captions, self.embed(captions), pixels, draws.normal((count, *self.latents_shape)))

    @property
    def latents_shape(self) -> tuple[int, int, int]:
        """(c, h, w) of the latents of an emoji."""
        side = TILE // 2 ** (len(self._vae.config.block_out_channels) - 1)
        return self._vae.config.latent_channels, side, side

    @torch.no_grad()
    def encode(self, pixels: Float[Tensor, " b 3 height width"]) -> Float[Tensor, " b c h w"]:
        """Gives normalised latents: the posterior's mode."""
        modes = [self._vae.encode(part).latent_dist.mode() for part in pixels.split(self.batch_size)]
        return (torch.cat(modes) - self._vae.config.shift_factor) * self._vae.config.scaling_factor

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, " b c h w"]) -> Float[Tensor, " b 3 height width"]:
        """Gives pixels in [-1, 1]."""
        raw = latents / self._vae.config.scaling_factor + self._vae.config.shift_factor
        return torch.cat([self._vae.decode(part).sample for part in raw.split(self.batch_size)]).clamp(-1, 1)

    def kept(self, shown: Shown) -> Float[Tensor, " b 3 height width"]:
        """Gives what the VAE keeps of true pictures, the best that any network on its latents can draw."""
        return self.decode(self.encode(shown.pixels))

    @torch.no_grad()
    def sample(
        self, network: nn.Module, shown: Shown, *, sigmas: Float[Tensor, " n"], guidance_scale: float = 0.0
    ) -> Float[Tensor, " b c h w"]:
        """Draws the latents of all captions from their noise, a batch at a time."""
        parts = []
        for chosen in torch.arange(len(shown.noise)).split(self.batch_size):
            text = shown.text.rows(chosen)
            guided = self.guided(network, text, guidance_scale=guidance_scale)
            parts.append(euler(guided, shown.noise[chosen[0] : chosen[-1] + 1], sigmas.to(self.device)))
        return torch.cat(parts)

    def guided(self, network: nn.Module, text: Text, *, guidance_scale: float) -> Velocity:
        """A network's velocity under guidance, in Z-Image's convention."""
        empty = self.empty.repeated(len(text.lengths))

        def velocity(noisy: Tensor, sigma: Tensor) -> Tensor:
            asked = {"sigma": sigma, "prompt_embeds": text.embeds, "lengths": text.lengths}
            conditional = self.predict(network, noisy, **asked).float()
            if guidance_scale == 0:
                return conditional
            asked |= {"prompt_embeds": empty.embeds, "lengths": empty.lengths}
            return conditional + guidance_scale * (
                conditional - self.predict(network, noisy, **asked).float()
            )

        return velocity


def predict(
    network: nn.Module,
    noisy: Float[Tensor, " b c h w"],
    *,
    sigma: Float[Tensor, " b"],
    prompt_embeds: Float[Tensor, " b l d"],
    lengths: Tensor,
) -> Float[Tensor, " b c h w"]:
    """Velocity of a transformer, in bf16 on a GPU."""
    with torch.autocast(noisy.device.type, torch.bfloat16, enabled=noisy.is_cuda):
        return batched_velocity(
            network, noisy, sigma=sigma, prompt_embeds=prompt_embeds, lengths=lengths
        ).float()
