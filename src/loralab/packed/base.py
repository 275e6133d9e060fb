"""One resident base with a width of slots, in each of which a trial's adapter is trained.

Adapters live in their trials' shadows (fp32, each with its own optimizer). Before a pass they are copied into the
packed layers, in the precision in which these compute; after the backward pass gradients are copied out. Both are
copies of thin matrices, far below the cost of a block.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from loralab.adapter import LoraSpec, inject
from loralab.adapter.layers import TRAINED, adapter_layers, linear_layers
from loralab.denoiser import Denoiser
from loralab.errors import UserError
from loralab.packed.carried import Carried, gradients_by_slot
from loralab.packed.layer import PackedLinear
from loralab.packed.routing import Routing
from loralab.packed.shadow import shadow_of

Prompts = Sequence[Float[Tensor, " _l d"]] | Float[Tensor, " b l d"]


@dataclass(frozen=True)
class Part:
    """One trial's part of a pass.

    Attributes:
        slot: of the trial.
        noisy, sigma, prompt_embeds: as a Denoiser's `velocity` takes them.
        training: its dropout is on.
    """

    slot: int
    noisy: Float[Tensor, " b c h w"]
    sigma: Float[Tensor, " b"]
    prompt_embeds: Prompts
    training: bool

    @property
    def kind(self) -> tuple[tuple[int, ...], bool]:
        """What parts of one pass must share."""
        return tuple(self.noisy.shape), self.training


class PackedBase:
    """A denoiser whose transformer carries up to `width` adapters at once."""

    def __init__(
        self,
        denoiser: Denoiser,
        *,
        width: int,
        rank: int,
        targets: Sequence[str],
        dtype: torch.dtype,
        static: bool,
    ) -> None:
        """Puts packed layers into the transformer.

        Args:
            denoiser: with a bare transformer, placed as it is to run.
            width: trials at a time.
            rank: the largest that a trial may have.
            targets: all `adapter.targets` that trials may have.
            dtype: in which the base computes.
            static: keep the batch's size whatever slots are empty, as compiled code wants it.

        Raises:
            UserError: for a width or rank below 1, and for targets that no layer matches.
        """
        for key, value in (("pack", width), ("adapter.rank", rank)):
            if value < 1:
                raise UserError(f"{key}={value} must be at least 1")
        self.denoiser, self.width, self.rank, self.targets = denoiser, width, rank, tuple(targets)
        self._static = static
        transformer = denoiser.transformer
        self._bare = shadow_of(transformer, device=denoiser.device)
        exact = denoiser.device.type == "cpu" and not static
        self._routing = Routing(width=width, device=denoiser.device, exact=exact)
        self._layers = self._packed(transformer, dtype)
        self._adapters: dict[int, Carried] = {}

    def unfit(self, spec: LoraSpec) -> str | None:
        """Says why an adapter does not fit into a slot; None where it does."""
        if spec.use_dora:
            return "adapter=dora learns the length of whole rows, which is no low-rank product"
        if spec.rank > self.rank:
            return f"adapter.rank={spec.rank} is above the pack's {self.rank}"
        if spec.targets not in self.targets:
            return f"adapter.targets={spec.targets} is none of the pack's: {', '.join(self.targets)}"
        return None

    def shadow(self) -> nn.Module:
        """Gives a new stand-in of the transformer, for a trial's adapter."""
        return shadow_of(self._bare, device=self.denoiser.device)

    @torch.no_grad()
    def occupy(self, slot: int, shadow: nn.Module, *, dropout: float, generator: torch.Generator) -> None:
        """Puts a trial's adapter into a slot."""
        self.vacate(slot)
        adapted = adapter_layers(shadow)
        layers = [self._layers[name] for name in adapted]
        self._routing.occupy(slot, dropout=dropout, generator=generator, layers=layers)
        rank = next(iter(adapted.values())).r[TRAINED]
        for layer, own in zip(layers, adapted.values(), strict=True):
            layer.scale.data[slot] = own.scaling[TRAINED]
        self._adapters[slot] = Carried(
            rank=rank,
            layers=layers,
            downs=[own.lora_A[TRAINED].weight for own in adapted.values()],
            ups=[own.lora_B[TRAINED].weight for own in adapted.values()],
            down_places=[layer.down.data[slot, :rank] for layer in layers],
            up_places=[layer.up.data[slot, :, :rank] for layer in layers],
        )

    @torch.no_grad()
    def vacate(self, slot: int) -> None:
        """Empties a slot: it adds nothing from now on."""
        self._adapters.pop(slot, None)
        self._routing.occupy(slot, dropout=0.0, generator=None, layers=())
        for layer in self._layers.values():
            for tensor in (layer.down, layer.up, layer.scale):
                tensor.data[slot] = 0  # as data: no change that a pass of others, still open, would notice

    def velocities(self, parts: Sequence[Part], *, learns: bool) -> list[Float[Tensor, " b c h w"]]:
        """Gives each part's velocity from one pass of the network.

        Args:
            parts: of one kind, at most one for a slot.
            learns: keep what a backward pass needs.
        """
        ordered = sorted(parts, key=lambda part: part.slot)
        slots = [part.slot for part in ordered]
        with torch.no_grad():
            for slot in slots:
                self._adapters[slot].load()
        filled = self._filled(ordered)
        count = sum(len(part.noisy) for part in filled)
        is_whole = len(filled) == self.width
        self._routing.begin(
            [part.slot for part in filled], is_whole=is_whole, num_samples=count, training=parts[0].training
        )
        with torch.set_grad_enabled(learns):
            velocity = self.denoiser.velocity(
                torch.cat([part.noisy for part in filled]),
                sigma=torch.cat([part.sigma for part in filled]),
                prompt_embeds=_joined([part.prompt_embeds for part in filled]),
            )
        answers = dict(zip([part.slot for part in filled], velocity.split(len(parts[0].noisy)), strict=True))
        return [answers[part.slot] for part in parts]

    @torch.no_grad()
    def collect(self, slots: Sequence[int]) -> None:
        """Adds what the last backward pass has left to the gradients of these slots' adapters."""
        found = gradients_by_slot(list(self._layers.values()))
        for slot in slots:
            self._adapters[slot].take_gradients(slot, found)

    def _filled(self, parts: list[Part]) -> list[Part]:
        """Gives a part for every slot where the batch's size must not change; empty slots repeat the first."""
        if not self._static:
            return parts
        given = {part.slot: part for part in parts}
        return [given.get(slot, Part(slot, *_inputs(parts[0]))) for slot in range(self.width)]

    def _packed(self, transformer: nn.Module, dtype: torch.dtype) -> dict[str, PackedLinear]:
        """Replaces every layer that one of the targets names."""
        patterns = [self.denoiser.target_pattern(targets) for targets in self.targets]
        made = {
            name: PackedLinear(linear, width=self.width, rank=self.rank, dtype=dtype, routing=self._routing)
            for name, linear in linear_layers(transformer).items()
            if any(re.fullmatch(pattern, name) for pattern in patterns)
        }
        if not made:
            raise UserError(f"adapter.targets={', '.join(self.targets)} adapts no linear layer of this model")
        for name, layer in made.items():
            transformer.set_submodule(name, layer)
        return made


def add_adapter(
    shadow: nn.Module, spec: LoraSpec, *, pattern: str, seed: int
) -> tuple[tuple[str, ...], torch.Tensor]:
    """Adds a trial's adapter to its shadow as a run of that seed would; gives its layers and the generator's state."""
    torch.manual_seed(seed)
    names = inject(shadow, spec, pattern=pattern)
    return names, torch.get_rng_state()


def _inputs(part: Part) -> tuple[Tensor, Tensor, Prompts, bool]:
    return part.noisy, part.sigma, part.prompt_embeds, part.training


def _joined(prompts: Sequence[Sequence[Tensor] | Tensor]) -> Sequence[Tensor] | Tensor:
    """Gives all prompts: one tensor where all parts are tensors of one length, else a list."""
    tensors = [part for part in prompts if isinstance(part, Tensor)]
    if len(tensors) == len(prompts) and len({tensor.shape[1:] for tensor in tensors}) == 1:
        return torch.cat(tensors)
    return [prompt for part in prompts for prompt in part]
