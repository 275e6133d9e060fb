"""Z-Image as a `Denoiser`.

The network is told 1 - sigma and answers data - noise, on lists of pictures [c, 1, h, w] and of prompts:

    velocity(noisy, sigma, prompts) = -network(noisy, 1 - sigma, prompts)
Each sequence is padded to a multiple of 32 inside the network with learned tokens.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from loralab.adapter.belonging import Base
from loralab.adapter.metadata import metadata_of
from loralab.denoiser import Denoiser, ModelIdentity, Sampling
from loralab.errors import UserError
from loralab.families.shared.checkpoint import Checkpoint
from loralab.families.shared.components import Components
from loralab.families.shared.loaded import Loaded
from loralab.families.shared.schedule import pipeline_sigmas
from loralab.families.shared.targets import pattern_for
from loralab.families.z_image import components as zimage
from loralab.families.z_image.belonging import KINDS, recognised
from loralab.memory.plan import Blueprint

MISTAKEN_STEPS = 9
"""What older versions of the vendor's README ask for to get 8 calls."""
PATCH = 2
"""Side of the square of latent positions that makes one token; the only size that the vendor's checkpoints have."""


class ZImage(Loaded, Denoiser):
    """A Z-Image checkpoint; all sizes come from its component configs."""

    family = "z_image"
    export_prefix = "transformer."
    foreign_names = zimage.FOREIGN_NAMES

    def __init__(
        self,
        *,
        name: str,
        checkpoint: str,
        sampling: Sampling,
        revision: str | None = None,
        variant: Literal["base", "distilled"] = "base",
        max_prompt_length: int = 512,
        assume_base: str | None = None,
    ) -> None:
        """Names a checkpoint; nothing is read before it is needed.

        Args:
            name: the model's name in `conf/model`.
            checkpoint: folder, hub id or `package://` address.
            sampling: the checkpoint's own preview settings.
            revision: branch, tag or commit of a hub id.
            variant: `base` is trained by velocity regression and guided; `distilled` (Turbo) is unguided.
            max_prompt_length: longer prompts are cut to so many tokens.
            assume_base: this model's name, to take adapters for its own that are of another base or do not say.
        """
        self.name, self.variant, self.sampling = name, variant, sampling
        self.max_prompt_length = max_prompt_length
        self._assume_base = assume_base
        self.foreign_names = dataclasses.replace(zimage.FOREIGN_NAMES, guard=self._require_belonging)
        self.checkpoint = Checkpoint(checkpoint, revision, pipeline="ZImagePipeline")
        self._components = Components(
            self.checkpoint,
            {
                "transformer": zimage.load_transformer,
                "vae": zimage.load_vae,
                "text_encoder": zimage.load_text_encoder,
            },
        )

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self._components.device

    def identity(self) -> ModelIdentity:
        """Says which base this is."""
        return self._components.identity(family=self.family, model=self.name, variant=self.variant)

    def _require_belonging(
        self, path: str, header: Mapping[str, str], shapes: Mapping[str, Sequence[int]]
    ) -> None:
        """Refuses an adapter that was trained on another base, or of which nobody knows."""
        base = Base(
            family=self.family,
            model=self.name,
            checkpoint=self.checkpoint.location,
            digest=lambda: self.identity().base_digest,
            kind=KINDS[self.variant],
            assumed=self._assume_base,
        )
        if (metadata := metadata_of(path, header)) is not None:
            base.require_own(path, metadata)
        else:
            base.require_recognised(path, recognised(header, path=path))

    def blueprint(self) -> Blueprint:
        """Gives the networks without weights; the length of prompts is an assumption."""
        return zimage.blueprint(
            self.checkpoint,
            prompt_tokens=min(zimage.USUAL_PROMPT, self.max_prompt_length),
            longest_prompt=self.max_prompt_length,
        )

    def prompt_fingerprint(self) -> str:
        """Digests encoder, tokenizer, template, layer, length and precision."""
        return self._components.prompt_fingerprint(
            template="qwen3 user turn, thinking", layer=-2, max_length=self.max_prompt_length
        )

    def pixel_fingerprint(self) -> str:
        """Digests the VAE with its shift and scaling factors."""
        return self._components.pixel_fingerprint(normalisation="shift, then scale")

    def encode_prompts(self, prompts: Sequence[str]) -> list[Float[Tensor, " _l d"]]:
        """Embeds prompts; each has its own length, without padding."""
        encoder, tokenizer = self._components.get("text_encoder"), self._components.tokenizer
        return [
            zimage.encode_prompt(encoder, tokenizer, prompt=prompt, max_length=self.max_prompt_length)
            for prompt in prompts
        ]

    def encode_pixels(self, pixels: Float[Tensor, " b 3 height width"]) -> Float[Tensor, " b c h w"]:
        """Encodes pictures one by one, so that latents do not depend on the batch."""
        return self._components.each(zimage.encode_picture, pixels)

    def decode_latents(self, latents: Float[Tensor, " b c h w"]) -> Float[Tensor, " b 3 height width"]:
        """Decodes pictures one by one, in tiles where the memory does not suffice for a whole one."""
        return self._components.each(zimage.decode_picture, latents, tiled=True)

    @property
    def size_multiple(self) -> int:
        """Pixels per token side: the VAE's factor times the patch."""
        return PATCH * self._vae_factor

    def latents_shape(self, *, height: int, width: int) -> tuple[int, int, int]:
        """Gives (c, h, w) of the VAE's latents."""
        channels: int = self.checkpoint.config("vae")["latent_channels"]
        return channels, height // self._vae_factor, width // self._vae_factor

    def num_tokens(self, latents_shape: Sequence[int]) -> int:
        """Counts patches: the transformer sees each as one token."""
        return (latents_shape[-2] // PATCH) * (latents_shape[-1] // PATCH)

    @property
    def transformer(self) -> nn.Module:
        """The transformer, loaded at first use, frozen."""
        network: nn.Module = self._components.get("transformer")
        return network

    def velocity(
        self,
        noisy: Float[Tensor, " b c h w"],
        *,
        sigma: Float[Tensor, " b"],
        prompt_embeds: Sequence[Float[Tensor, " _l d"]] | Float[Tensor, " b l d"],
    ) -> Float[Tensor, " b c h w"]:
        """Predicts noise - data: clock and sign are turned round here and nowhere else."""
        if not len(noisy) == len(sigma) == len(prompt_embeds):
            # The network would silently drop what is left over.
            raise ValueError(
                f"{len(noisy)} latents, {len(sigma)} sigmas and {len(prompt_embeds)} prompts do not match"
            )
        pictures = list(noisy.to(self.device, torch.float32)[:, :, None].unbind())
        prompts = [prompt.to(self.device, self._components.dtype) for prompt in prompt_embeds]
        transformer = self.transformer
        with self._components.autocast():
            answers = transformer(
                pictures, 1 - sigma.to(self.device, torch.float32), prompts, return_dict=False
            )[0]
        return -torch.stack(list(answers)).squeeze(2).float()

    def sampling_sigmas(
        self, *, num_steps: int, latents_shape: Sequence[int]
    ) -> Float[Tensor, " num_steps_plus_1"]:
        """Gives the scheduler's sigmas at its constant shift (3 for Turbo, 6 for Base); Turbo takes no 9 steps."""
        if self.variant == "distilled" and num_steps == MISTAKEN_STEPS:
            raise UserError(
                f"num_steps={num_steps}: {self.name} would make 9 calls at sigmas it was not distilled for (1, 0.96, "
                "0.913, ... instead of 1, 0.9545, 0.9, ...). Older READMEs say 9 for what is 8 calls with "
                "the installed diffusers: set num_steps=8"
            )
        config = self.checkpoint.config("scheduler")
        mu = zimage.dynamic_mu(config, num_tokens=self.num_tokens(latents_shape))
        return pipeline_sigmas(config, num_steps=num_steps, mu=mu)

    def guides(self, guidance_scale: float) -> bool:
        """Guides above 0; Turbo never does and takes no other scale than 0."""
        if self.variant == "distilled" and guidance_scale != 0:
            raise UserError(
                f"guidance_scale={guidance_scale}: {self.name} is distilled and sampled at guidance 0, anything"
                " else spoils its pictures. Set guidance_scale=0, or choose the base model."
            )
        return guidance_scale > 0

    def guide(
        self,
        conditional: Float[Tensor, " b c h w"],
        unconditional: Float[Tensor, " b c h w"],
        guidance_scale: float,
    ) -> Float[Tensor, " b c h w"]:
        """Gives conditional + guidance_scale * (conditional - unconditional): the usual scale less one."""
        return conditional + guidance_scale * (conditional - unconditional)

    def target_pattern(self, targets: str) -> str:
        """Gives the pattern of layer names behind `targets`; valid for any number of blocks."""
        return pattern_for(targets, zimage.TARGETS)

    @property
    def _vae_factor(self) -> int:
        return int(2 ** (len(self.checkpoint.config("vae")["block_out_channels"]) - 1))
