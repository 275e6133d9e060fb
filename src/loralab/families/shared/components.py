"""The networks of one checkpoint: each is loaded at its first use, onto one device, and freed on request.

The VAE always computes in fp32: its latents are made once and regressed for ever. Text encoder and transformer
are loaded in the precision that `place` was given.
"""

from __future__ import annotations

import functools
import gc
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from loralab.denoiser import Component, ModelIdentity
from loralab.errors import UserError
from loralab.families.shared.checkpoint import Checkpoint, weight_files
from loralab.families.shared.digest import component_digest, digest_of, folder_digest
from loralab.families.shared.prompts import load_tokenizer
from loralab.families.shared.room import each
from loralab.memory import Placement
from loralab.memory.loading import empty, tensors_of

log = logging.getLogger(__name__)
EXACT = ("vae", "audio_vae", "vocoder")
"""Components that are in fp32 however the base is placed."""
Loader = Callable[[Checkpoint, Placement], nn.Module]


def diffusers_class(checkpoint: Checkpoint, component: Component, class_name: str) -> Any:
    """Gives a diffusers class, checked to be what the checkpoint names."""
    import diffusers

    return getattr(diffusers, require_class(checkpoint, component, [class_name]))


def require_class(checkpoint: Checkpoint, component: str, known: Iterable[str]) -> str:
    """Gives the name of a component's class.

    Raises:
        UserError: if it is none of the known ones.
    """
    name, known = checkpoint.class_name(component), tuple(known)
    if name not in known:
        raise UserError(
            f"model.checkpoint={checkpoint.location}: its {component} is a {name}, but this model needs a"
            f" {' or '.join(known)}. Choose another checkpoint."
        )
    return name


def load_vae(checkpoint: Checkpoint, placement: Placement, *, class_name: str) -> nn.Module:
    """Gives a VAE in fp32, whatever the base is held in."""
    network: nn.Module = diffusers_class(checkpoint, "vae", class_name).from_pretrained(
        checkpoint.weights("vae"), torch_dtype=torch.float32, use_safetensors=True
    )
    return network


def load_transformer(
    checkpoint: Checkpoint,
    placement: Placement,
    *,
    class_name: str,
    quantized: str,
    prepare: Callable[[nn.Module], nn.Module],
) -> nn.Module:
    """Gives a transformer with its weights held and its blocks run as placed.

    Args:
        checkpoint: where its files are.
        placement: how it is held and run.
        class_name: of diffusers, which the checkpoint must name.
        quantized: pattern on the names of the linear layers that are quantised where weights are.
        prepare: puts the family's own attention into it.
    """
    network_class = diffusers_class(checkpoint, "transformer", class_name)
    folder = checkpoint.weights("transformer")
    if placement.streams:
        network = placement.filled(
            lambda: empty(lambda: network_class.from_config(checkpoint.config("transformer"))),
            tensors_of(weight_files(folder)),
            quantized=quantized,
        )
    else:
        network = network_class.from_pretrained(folder, torch_dtype=placement.dtype, use_safetensors=True)
        network = network.requires_grad_(False).eval().to(placement.device)
    network = prepare(network)
    placement.apply(network)
    return network


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
        self.placement = Placement(torch.device("cpu"), torch.float32)
        self._loaders = dict(loaders)
        self._held: dict[Component, nn.Module] = dict(held or {})
        self._loaded: dict[Component, nn.Module] = {}

    def get(self, component: Component) -> Any:
        """Gives a network on the device; those loaded here are frozen and in inference mode."""
        if component in self._held:
            return self._held[component]
        if component not in self._loaded:
            log.info("loading the %s of %s", component.replace("_", " "), self.checkpoint.location)
            network = self._loaders[component](self.checkpoint, self.placement).requires_grad_(False).eval()
            self._loaded[component] = network if component == "transformer" else network.to(self.device)
        return self._loaded[component]

    @property
    def device(self) -> torch.device:
        """Where the networks compute."""
        return self.placement.device

    @property
    def dtype(self) -> torch.dtype:
        """The precision that they compute in, the VAE apart."""
        return self.placement.dtype

    @functools.cached_property
    def tokenizer(self) -> Any:
        """The tokenizer of the text encoder."""
        return load_tokenizer(self.checkpoint.files("tokenizer"))

    def place(self, placement: Placement) -> None:
        """Sets how networks are held from now on; those held otherwise are dropped, to be read again when used."""
        if placement == self.placement:
            return
        self.placement = placement
        self._loaded = {name: network for name, network in self._loaded.items() if name in EXACT}
        for network in self._loaded.values():
            network.to(self.device)

    def load_by(self, component: Component, loader: Loader) -> None:
        """Sets how a component is loaded from now on; one that was loaded otherwise is freed."""
        if self._loaders[component] is not loader:
            self._loaders[component] = loader
            self.release(component)

    def release(self, component: Component) -> None:
        """Frees a component's memory; the next use loads it again."""
        self._loaded.pop(component, None)
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def each(
        self, function: Callable[[Any, Tensor], Tensor], items: Iterable[Tensor], *, tiled: bool = False
    ) -> Tensor:
        """Stacks what a function makes of the VAE and each item, if need be with the transformer in main memory.

        Args:
            function: encodes or decodes one picture.
            items: its inputs.
            tiled: lets the VAE decode in tiles where even that does not suffice.
        """
        vae = self.get("vae")
        return each(
            functools.partial(function, vae),
            items,
            beside={**self._held, **self._loaded}.get("transformer"),
            decoder=vae if tiled else None,
            device=self.device,
        )

    def holding(self, component: Component, network: nn.Module) -> Components:
        """Gives a copy in which `network` stands for a component; nothing that is loaded is shared."""
        other = Components(self.checkpoint, self._loaders, held={**self._held, component: network})
        other.place(self.placement)
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
        precision = self.placement.encoder().kind or str(self.dtype)
        return digest_of([self._digest("text_encoder"), tokenizer, precision, settings])

    def pixel_fingerprint(self, **settings: Any) -> str:
        """Gives the digest of the VAE, its latent statistics and the family's own settings."""
        return digest_of([self._digest("vae"), settings])

    def _digest(self, component: Component) -> str:
        return component_digest(self.checkpoint.weights(component), self.checkpoint.config(component))
