"""A trial's place in a pack: its slot of the base, as a `Denoiser` that an ordinary run can train."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import lightning
import torch
from jaxtyping import Float
from torch import Tensor, nn

from loralab.adapter import LoraSpec
from loralab.denoiser import Component, Denoiser, ModelIdentity
from loralab.memory import Placement
from loralab.memory.plan import Blueprint
from loralab.packed.base import PackedBase, Part, add_adapter
from loralab.packed.meeting import Meeting

_drawing = threading.Lock()
"""Held while an adapter is drawn from torch's one generator."""


class Seat:
    """One slot, taken by one trial from `inject` to `leave`."""

    def __init__(self, base: PackedBase, meeting: Meeting, *, slot: int) -> None:
        """Is empty."""
        self.slot = slot
        self._base, self._meeting = base, meeting
        self.shadow = base.shadow()
        self.generator = torch.Generator()
        self.denoiser: Denoiser = SlotDenoiser(base.denoiser, self)
        self._answer: Tensor | None = None

    def inject(self, spec: LoraSpec, *, pattern: str, seed: int) -> tuple[str, ...]:
        """Adds the trial's adapter as a run of its own would; gives the names of its layers."""
        with _drawing:
            names, state = add_adapter(self.shadow, spec, pattern=pattern, seed=seed)
        self.generator.set_state(state)
        self._base.occupy(self.slot, self.shadow, dropout=spec.dropout, generator=self.generator)
        return names

    def velocity(
        self,
        noisy: Float[Tensor, " b c h w"],
        *,
        sigma: Float[Tensor, " b"],
        prompt_embeds: Sequence[Float[Tensor, " _l d"]] | Float[Tensor, " b l d"],
    ) -> Float[Tensor, " b c h w"]:
        """Gives the base's velocity with this trial's adapter, together with those that others ask for."""
        part = Part(self.slot, noisy, sigma, prompt_embeds, self.shadow.training)
        answer = self._meeting.velocity(part)
        if answer.requires_grad:
            self._answer = answer
        return answer

    def differentiate(self) -> None:
        """Takes the gradient that the loss has left at the velocity on to the adapter.

        Raises:
            RuntimeError: if no loss has been differentiated since the last time.
        """
        answer, self._answer = self._answer, None
        if answer is None or answer.grad is None:
            raise RuntimeError("a packed trial's loss does not depend on the velocity that it asked for")
        self._meeting.backward(self.slot, answer.grad)

    def step_aside(self) -> None:
        """Holds nobody up until it asks again: what it does until then, as writing a checkpoint, may take long."""
        self._meeting.leave(self.slot)

    def leave(self) -> None:
        """Takes part in no further pass."""
        self._meeting.leave(self.slot)


class Differentiation(lightning.Callback):
    """Lets the pack take a backward pass on through the network; leaves it when training ends."""

    def __init__(self, seat: Seat) -> None:
        """Serves one trial."""
        self._seat = seat

    def on_after_backward(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Waits for the network's part, before gradients are clipped."""
        self._seat.differentiate()

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Holds nobody up with what comes after training."""
        self._seat.leave()


class SlotDenoiser(Denoiser):
    """The shared base as one trial sees it: its own adapter in a stand-in of the transformer."""

    def __init__(self, shared: Denoiser, seat: Seat) -> None:
        """Takes name, variant and sampling of the shared denoiser."""
        self.family, self.name, self.variant = shared.family, shared.name, shared.variant
        self.export_prefix, self.foreign_names = shared.export_prefix, shared.foreign_names
        self.sampling = shared.sampling
        self._shared, self._seat = shared, seat

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self._shared.device

    @property
    def size_multiple(self) -> int:
        """Picture sides must be multiples of this many pixels."""
        return self._shared.size_multiple

    def identity(self) -> ModelIdentity:
        """Says which base this is."""
        return self._shared.identity()

    def blueprint(self) -> Blueprint:
        """Gives the networks without weights."""
        return self._shared.blueprint()

    def place(self, placement: Placement) -> None:
        """Is refused: the base is held once for all."""
        raise RuntimeError("a packed trial cannot place the base that it shares")

    def release(self, component: Component) -> None:
        """Frees nothing that others use."""

    def prompt_fingerprint(self) -> str:
        """Digests what embeddings depend on besides the prompt."""
        return self._shared.prompt_fingerprint()

    def pixel_fingerprint(self) -> str:
        """Digests what latents depend on besides the pixels."""
        return self._shared.pixel_fingerprint()

    def encode_prompts(self, prompts: Sequence[str]) -> list[Float[Tensor, " _l d"]]:
        """Embeds prompts, on the CPU."""
        return self._shared.encode_prompts(prompts)

    def encode_pixels(self, pixels: Float[Tensor, " b 3 height width"]) -> Float[Tensor, " b c h w"]:
        """Encodes pixels to normalised latents."""
        return self._shared.encode_pixels(pixels)

    def decode_latents(self, latents: Float[Tensor, " b c h w"]) -> Float[Tensor, " b 3 height width"]:
        """Decodes normalised latents to pixels."""
        return self._shared.decode_latents(latents)

    def latents_shape(self, *, height: int, width: int) -> tuple[int, int, int]:
        """Gives (c, h, w) of the latents of a picture of that many pixels."""
        return self._shared.latents_shape(height=height, width=width)

    def num_tokens(self, latents_shape: Sequence[int]) -> int:
        """Counts picture tokens."""
        return self._shared.num_tokens(latents_shape)

    @property
    def transformer(self) -> nn.Module:
        """The stand-in that carries this trial's adapter."""
        return self._seat.shadow

    def velocity(
        self,
        noisy: Float[Tensor, " b c h w"],
        *,
        sigma: Float[Tensor, " b"],
        prompt_embeds: Sequence[Float[Tensor, " _l d"]] | Float[Tensor, " b l d"],
    ) -> Float[Tensor, " b c h w"]:
        """Predicts noise - data, in one pass with the other trials."""
        return self._seat.velocity(noisy, sigma=sigma, prompt_embeds=prompt_embeds)

    def sampling_sigmas(
        self, *, num_steps: int, latents_shape: Sequence[int]
    ) -> Float[Tensor, " num_steps_plus_1"]:
        """Gives the sigmas from 1 down to 0 of the checkpoint's own pipeline."""
        return self._shared.sampling_sigmas(num_steps=num_steps, latents_shape=latents_shape)

    def guides(self, guidance_scale: float) -> bool:
        """Says whether this guidance scale needs a second call."""
        return self._shared.guides(guidance_scale)

    def guide(
        self,
        conditional: Float[Tensor, " b c h w"],
        unconditional: Float[Tensor, " b c h w"],
        guidance_scale: float,
    ) -> Float[Tensor, " b c h w"]:
        """Combines two velocities in the family's own convention."""
        return self._shared.guide(conditional, unconditional, guidance_scale)

    def target_pattern(self, targets: str) -> str:
        """Gives the regex behind `targets`."""
        return self._shared.target_pattern(targets)
