"""FLUX.2 Klein as a `Denoiser`.

The network speaks the house's convention (told sigma, answers noise - data), on packed tokens with position ids.
It multiplies sigma by 1000 in the precision of its input tokens: bf16 tokens would turn 723.4 into 724. So it is
given fp32 tokens and runs under autocast.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from loralab.adapter.belonging import Base
from loralab.adapter.metadata import metadata_of
from loralab.denoiser import Denoiser, ModelIdentity, Sampling
from loralab.errors import UserError
from loralab.families.flux2_klein import components as klein
from loralab.families.flux2_klein.belonging import kind_of, recognised
from loralab.families.shared.checkpoint import Checkpoint
from loralab.families.shared.components import Components
from loralab.families.shared.loaded import Loaded
from loralab.families.shared.schedule import pipeline_sigmas
from loralab.families.shared.targets import pattern_for
from loralab.memory.plan import Blueprint


class Flux2Klein(Loaded, Denoiser):
    """A FLUX.2 Klein checkpoint; all sizes come from its component configs."""

    family = "flux2_klein"
    export_prefix = "transformer."
    foreign_names = klein.FOREIGN_NAMES

    def __init__(
        self,
        *,
        name: str,
        checkpoint: str,
        sampling: Sampling,
        revision: str | None = None,
        variant: Literal["base", "distilled"] = "base",
        text_layers: Sequence[int] = (9, 18, 27),
        max_prompt_length: int = 512,
        assume_base: str | None = None,
    ) -> None:
        """Names a checkpoint; nothing is read before it is needed.

        Args:
            name: the model's name in `conf/model`.
            checkpoint: folder, hub id or `package://` address.
            sampling: the checkpoint's own preview settings.
            revision: branch, tag or commit of a hub id.
            variant: `base` is trained by velocity regression and guided; `distilled` takes few steps unguided.
            text_layers: hidden states of the text encoder that make up a prompt embedding.
            max_prompt_length: every prompt is cut or padded to so many tokens.
            assume_base: this model's name, to take adapters for its own that are of another base or do not say.
        """
        self.name, self.variant, self.sampling = name, variant, sampling
        self.text_layers, self.max_prompt_length = tuple(text_layers), max_prompt_length
        self._assume_base = assume_base
        self.foreign_names = dataclasses.replace(klein.FOREIGN_NAMES, guard=self._require_belonging)
        self.checkpoint = Checkpoint(checkpoint, revision, pipeline="Flux2KleinPipeline")
        self._components = Components(
            self.checkpoint,
            {
                "transformer": klein.load_transformer,
                "vae": klein.load_vae,
                "text_encoder": functools.partial(klein.load_text_encoder, layers=self.text_layers),
            },
        )

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self._components.device

    def identity(self) -> ModelIdentity:
        """Says which base this is; a distilled checkpoint under a base's name is refused."""
        if self.variant == "base" and self.checkpoint.index.get("is_distilled"):
            raise UserError(
                f"model.checkpoint={self.checkpoint.location} is distilled, but model={self.name} means a base"
                f" checkpoint. Choose model={self.name}_distilled, or a base checkpoint."
            )
        return self._components.identity(family=self.family, model=self.name, variant=self.variant)

    def _require_belonging(
        self, path: str, header: Mapping[str, str], shapes: Mapping[str, Sequence[int]]
    ) -> None:
        """Refuses an adapter that was trained on another base, or of which nobody knows."""
        config = self.checkpoint.config("transformer")
        base = Base(
            family=self.family,
            model=self.name,
            checkpoint=self.checkpoint.location,
            digest=lambda: self.identity().base_digest,
            kind=kind_of(config["num_attention_heads"] * config["attention_head_dim"]),
            takes=frozenset({self.name.removesuffix("_distilled")} if self.variant == "distilled" else ()),
            assumed=self._assume_base,
        )
        if (metadata := metadata_of(path, header)) is not None:
            base.require_own(path, metadata)
        else:
            base.require_recognised(path, recognised(shapes, ours=base.kind))

    def blueprint(self) -> Blueprint:
        """Gives the networks without weights; every prompt has the same length."""
        return klein.blueprint(
            self.checkpoint,
            encoder_layers=max(self.text_layers) + 1,
            prompt_tokens=self.max_prompt_length,
            longest_prompt=self.max_prompt_length,
        )

    def prompt_fingerprint(self) -> str:
        """Digests encoder, tokenizer, template, layers, length and precision."""
        return self._components.prompt_fingerprint(
            template="qwen3 user turn, not thinking",
            layers=self.text_layers,
            max_length=self.max_prompt_length,
        )

    def pixel_fingerprint(self) -> str:
        """Digests the VAE with its latents' statistics."""
        return self._components.pixel_fingerprint(normalisation="patchify, then BatchNorm statistics")

    def encode_prompts(self, prompts: Sequence[str]) -> list[Float[Tensor, " _l d"]]:
        """Embeds prompts; padding is kept, since the transformer attends to it."""
        encoder, tokenizer = self._components.get("text_encoder"), self._components.tokenizer
        return [
            klein.encode_prompt(
                encoder, tokenizer, prompt=prompt, layers=self.text_layers, max_length=self.max_prompt_length
            )
            for prompt in prompts
        ]

    def encode_pixels(self, pixels: Float[Tensor, " b 3 height width"]) -> Float[Tensor, " b c h w"]:
        """Encodes pictures one by one, so that latents do not depend on the batch."""
        return self._components.each(klein.encode_picture, pixels)

    def decode_latents(self, latents: Float[Tensor, " b c h w"]) -> Float[Tensor, " b 3 height width"]:
        """Decodes pictures one by one, in tiles where the memory does not suffice for a whole one."""
        return self._components.each(klein.decode_picture, latents, tiled=True)

    @property
    def size_multiple(self) -> int:
        """Pixels per latent position: the VAE's factor times the 2x2 patch."""
        return 2 ** len(self.checkpoint.config("vae")["block_out_channels"])

    def latents_shape(self, *, height: int, width: int) -> tuple[int, int, int]:
        """Gives (c, h, w) after patchifying."""
        channels = 4 * self.checkpoint.config("vae")["latent_channels"]
        return channels, height // self.size_multiple, width // self.size_multiple

    def num_tokens(self, latents_shape: Sequence[int]) -> int:
        """Counts positions: the transformer sees each as one token."""
        return latents_shape[-2] * latents_shape[-1]

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
        """Predicts noise - data; all prompts must have the same length, as `encode_prompts` makes them."""
        height, width = noisy.shape[-2:]
        stacked = prompt_embeds if isinstance(prompt_embeds, Tensor) else torch.stack(list(prompt_embeds))
        prompts = stacked.to(self.device, self._components.dtype)
        transformer = self.transformer
        with self._components.autocast():
            tokens = transformer(
                hidden_states=klein.pack(noisy.to(self.device, torch.float32)),
                timestep=sigma.to(self.device, torch.float32),
                encoder_hidden_states=prompts,
                img_ids=klein.picture_ids(height=height, width=width, device=self.device),
                txt_ids=klein.prompt_ids(prompts.shape[1], device=self.device),
                guidance=None,
                return_dict=False,
            )[0]
        return klein.unpack(tokens.float(), height=height, width=width)

    def sampling_sigmas(
        self, *, num_steps: int, latents_shape: Sequence[int]
    ) -> Float[Tensor, " num_steps_plus_1"]:
        """Gives the scheduler's sigmas at the vendor's empirical mu for this many tokens and steps."""
        mu = klein.empirical_mu(num_tokens=self.num_tokens(latents_shape), num_steps=num_steps)
        return pipeline_sigmas(self.checkpoint.config("scheduler"), num_steps=num_steps, mu=mu)

    def guides(self, guidance_scale: float) -> bool:
        """Guides above 1; a distilled checkpoint never does and takes no other scale than 1."""
        if self.variant == "base":
            return guidance_scale > 1
        if guidance_scale != 1:
            raise UserError(
                f"guidance_scale={guidance_scale} has no effect: {self.name} is distilled and ignores it."
                " Set guidance_scale=1.0, or choose the base model."
            )
        return False

    def guide(
        self,
        conditional: Float[Tensor, " b c h w"],
        unconditional: Float[Tensor, " b c h w"],
        guidance_scale: float,
    ) -> Float[Tensor, " b c h w"]:
        """Gives unconditional + guidance_scale * (conditional - unconditional) (arXiv:2207.12598)."""
        return unconditional + guidance_scale * (conditional - unconditional)

    def target_pattern(self, targets: str) -> str:
        """Gives the pattern of layer names behind `targets`; valid for any number of blocks."""
        return pattern_for(targets, klein.TARGETS)
