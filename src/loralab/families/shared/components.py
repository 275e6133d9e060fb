"""The networks of one checkpoint: each is loaded at its first use, onto one device, and freed on request.

The VAE always computes in fp32: its latents are made once and regressed for ever. Text encoder and transformer
are loaded in the precision that `place` was given.
"""

from __future__ import annotations

import functools
import gc
import logging
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from loralab.denoiser import Component, ModelIdentity
from loralab.errors import UserError
from loralab.families.shared.checkpoint import Checkpoint
from loralab.families.shared.digest import component_digest, digest_of, folder_digest
from loralab.families.shared.prompts import load_tokenizer

log = logging.getLogger(__name__)
Loader = Callable[[Checkpoint, torch.dtype], nn.Module]


def diffusers_loader(component: Component, class_name: str) -> Loader:
    """Gives the loader of a diffusers network, checked to be what the checkpoint names."""

    def load(checkpoint: Checkpoint, dtype: torch.dtype) -> nn.Module:
        import diffusers

        if checkpoint.class_name(component) != class_name:
            raise UserError(
                f"model.checkpoint={checkpoint.location}: its {component} is a {checkpoint.class_name(component)}, but"
                f" this model needs a {class_name}. Choose another checkpoint."
            )
        network_class: Any = getattr(diffusers, class_name)
        network: nn.Module = network_class.from_pretrained(
            checkpoint.weights(component), torch_dtype=dtype, use_safetensors=True
        )
        return network

    return load


class Components:
    """Loads, moves, frees and identifies the parts of a checkpoint; starts on the CPU in fp32."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        loaders: Mapping[Component, Loader],
        *,
        held: Mapping[Component, nn.Module] | None = None,
    ) -> None:
        """Takes a loader per component; `held` ones are there already and are never loaded or freed."""
        self.checkpoint = checkpoint
        self.device = torch.device("cpu")
        self.dtype = torch.float32
        self._loaders = dict(loaders)
        self._held: dict[Component, nn.Module] = dict(held or {})
        self._loaded: dict[Component, nn.Module] = {}

    def get(self, component: Component) -> Any:
        """Gives a network on the device; those loaded here are frozen and in inference mode."""
        if component in self._held:
            return self._held[component]
        if component not in self._loaded:
            log.info("loading the %s of %s", component.replace("_", " "), self.checkpoint.location)
            network = self._loaders[component](
                self.checkpoint, torch.float32 if component == "vae" else self.dtype
            )
            self._loaded[component] = network.requires_grad_(False).eval().to(self.device)
        return self._loaded[component]

    @functools.cached_property
    def tokenizer(self) -> Any:
        """The tokenizer of the text encoder."""
        return load_tokenizer(self.checkpoint.files("tokenizer"))

    def place(self, device: torch.device, *, dtype: torch.dtype) -> None:
        """Moves what is loaded; another precision drops it instead, to be read from the files again."""
        if dtype != self.dtype:
            self._loaded = {name: network for name, network in self._loaded.items() if name == "vae"}
        self.device, self.dtype = torch.device(device), dtype
        for network in [*self._held.values(), *self._loaded.values()]:
            network.to(self.device)

    def release(self, component: Component) -> None:
        """Frees a component's memory; the next use loads it again."""
        self._loaded.pop(component, None)
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def holding(self, component: Component, network: nn.Module) -> Components:
        """Gives a copy in which `network` stands for a component; nothing that is loaded is shared."""
        other = Components(self.checkpoint, self._loaders, held={**self._held, component: network})
        other.place(self.device, dtype=self.dtype)
        return other

    def autocast(self) -> torch.autocast:
        """Computes in the base's precision while inputs, clock and LoRA weights stay fp32."""
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)

    def identity(self, *, family: str, model: str, variant: str) -> ModelIdentity:
        """Says which base an adapter belongs to; for hub checkpoints with the commit that is used."""
        return ModelIdentity(
            family=family,
            model=model,
            variant=variant,
            checkpoint=self.checkpoint.location,
            revision=self.checkpoint.commit,
            base_digest=self._digest("transformer"),
        )

    def prompt_fingerprint(self, **settings: Any) -> str:
        """Gives the digest of encoder, tokenizer, precision and the family's own settings."""
        tokenizer = folder_digest(self.checkpoint.files("tokenizer"))
        return digest_of([self._digest("text_encoder"), tokenizer, str(self.dtype), settings])

    def pixel_fingerprint(self, **settings: Any) -> str:
        """Gives the digest of the VAE, its latent statistics and the family's own settings."""
        return digest_of([self._digest("vae"), settings])

    def _digest(self, component: Component) -> str:
        return component_digest(self.checkpoint.weights(component), self.checkpoint.config(component))
