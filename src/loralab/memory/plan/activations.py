"""The peak of a training step and of a forward pass, in bytes.

    step    = weights on the device + adapter and its optimizer + max(saved of all blocks, gradients)
              + inside one block + constant
    saved   = 2 dim n                        a block's input in bf16                             full
            + 2 dim n + 4 heads n            attention's output, and a logarithm per row         selective
            = kept dim n                     everything                                          none
    inside  = inside dim n + weights that a product makes anew (transposed codes, read back in bf16)

n counts all tokens of the micro-batch. When the last block is differentiated all that was saved is there and no
gradient is; in the end it is the other way round. With accumulated gradients both are. Blocks before the first adapter
have no backward pass and save nothing. kept and inside are measured (loralab.memory.plan.coefficients).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from loralab.memory.placement import Placement
from loralab.memory.plan.blueprint import Blueprint, Tokens, stream_of_block
from loralab.memory.plan.coefficients import Coefficients, Measured
from loralab.memory.plan.sizes import QUANTISING, READING_BACK, Held, held, num_parameters, spread
from loralab.memory.plan.trained import Adapter

BACK_ON_DEVICE = 2
"""Blocks whose saved activations are on the device where they wait in main memory: in use, and on their way."""


@dataclass(frozen=True)
class Subject:
    """What is trained: a model, an adapter and how long the sequences are.

    Attributes:
        blueprint: the model.
        adapter: what is trained of it.
        tokens: of one picture.
        micro_batch: pictures per forward.
        accumulated: gradients of several micro-batches are summed.
        num_copies: fp32 numbers of other adapters for each one that is trained.
        num_backbones: networks that are held, trained or not.
    """

    blueprint: Blueprint
    adapter: Adapter
    tokens: Tokens
    micro_batch: int = 1
    accumulated: bool = False
    num_copies: int = 0
    num_backbones: int = 1


class Peaks:
    """Predicts peaks of one subject under any placement; what does not depend on the placement is computed once."""

    def __init__(self, subject: Subject, measured: Measured) -> None:
        """Takes what is trained and the coefficients."""
        self.subject, self.measured = subject, measured
        self.layers = subject.blueprint.layers(adapted=subject.adapter.pattern)
        self._held: dict[tuple[str | None, torch.dtype], Held] = {}
        self._encoders: dict[tuple[str | None, torch.dtype], Held] = {}
        self._names = subject.blueprint.blocks()
        self.num_parameters = subject.adapter.num_parameters(self.layers)
        self.vae_bytes = num_parameters(subject.blueprint.vae) * torch.float32.itemsize
        self.optimizer_bytes = subject.adapter.optimizer_bytes(self.layers)
        places = range(len(self._names))
        self.in_block = [[layer for layer in self.layers if layer.block == index] for index in places]
        self.lengths = [subject.tokens.of(stream_of_block(layers)) for layers in self.in_block]
        self.block_tokens = [subject.micro_batch * length for length in self.lengths]
        self.learning = self._learning()

    def weights(self, placement: Placement) -> Held:
        """Counts the transformer's weights as placed."""
        key = placement.kind, placement.dtype
        if key not in self._held:
            blueprint = self.subject.blueprint
            self._held[key] = held(
                blueprint.transformer,
                quantized=blueprint.quantized,
                kind=placement.kind,
                dtype=placement.dtype,
                blocks=self._names,
            )
        return self._held[key]

    def encoder(self, placement: Placement) -> Held:
        """Counts the text encoder's weights: in int8 where the base is quantised."""
        kind = None if placement.kind is None else "int8"
        blueprint = self.subject.blueprint
        if (kind, placement.dtype) not in self._encoders:
            self._encoders[kind, placement.dtype] = held(
                blueprint.text_encoder,
                quantized=blueprint.encoder_quantized,
                kind=kind,
                dtype=placement.dtype,
            )
        return self._encoders[kind, placement.dtype]

    def coefficients(self, placement: Placement) -> Coefficients:
        """Gives what was measured of the placement's way of training."""
        return self.measured.of(self.subject.blueprint.family, placement)

    def trained_bytes(self) -> int:
        """Counts what stays of the adapter between steps: weights, optimizer state, average."""
        copies = 2 if self.subject.adapter.averaged else 1
        return 4 * copies * self.num_parameters + self.optimizer_bytes

    def other_bytes(self) -> int:
        """Counts the adapters that are there beside the trained one."""
        return 4 * self.subject.num_copies * self.num_parameters

    def plain(self, placement: Placement) -> set[int]:
        """Gives the numbers of the blocks that keep everything."""
        count = len(self.in_block)
        if placement.checkpointing == "none":
            return set(range(count))
        return spread(1 - placement.checkpointed_blocks, among=count)

    def saved(self, placement: Placement) -> float:
        """Counts what is on the device of what blocks save for the backward pass, when all have run."""
        plain = self.plain(placement)
        saved = [self._saved_of(index, placement, is_plain=index in plain) for index in self.learning]
        return sum(saved[-BACK_ON_DEVICE:] if placement.offload_activations else saved)

    def moved(self, placement: Placement) -> float:
        """Counts what of the saved goes to main memory and comes back."""
        if not placement.offload_activations:
            return 0.0
        return self.saved(placement.without(offload_activations=False)) - self.saved(placement)

    def inside(self, placement: Placement) -> float:
        """Counts what is there besides while the last block is differentiated, whose own is among the saved."""
        coefficient = self.coefficients(placement)
        widest = max(self.block_tokens) * self.subject.blueprint.dim * _width(placement)
        is_plain = len(self.in_block) - 1 in self.plain(placement)
        mode = "full" if placement.checkpointing == "none" else placement.checkpointing
        per_token = coefficient.inside[mode] - (coefficient.kept if is_plain else 0)
        return per_token * widest + self.made_anew(placement)

    def made_anew(self, placement: Placement) -> int:
        """Counts the copy of a weight that a product makes."""
        largest = self.weights(placement).largest
        if placement.kind is None or placement.low_bit:
            return largest if placement.low_bit else 0
        return largest * (2 if placement.compile else READING_BACK[placement.kind])

    def step(self, placement: Placement) -> float:
        """Predicts the peak of a training step."""
        gradients, saved = 4 * self.num_parameters, self.saved(placement)
        growing = gradients + saved if self.subject.accumulated else max(gradients, saved)
        adapters = self.trained_bytes() + self.other_bytes()
        return self._resident(placement) + adapters + growing + self.inside(placement)

    def load(self, placement: Placement) -> float:
        """Predicts the peak while the weights arrive and are quantised."""
        weights = self.weights(placement)
        making = QUANTISING[placement.kind] * weights.largest if placement.kind else 0
        return weights.on_device(placement.offload_blocks) + making

    def forward(self, placement: Placement, *, num_tokens: int) -> float:
        """Predicts the peak of a forward pass without gradients, on so many tokens in all."""
        per_token = self.coefficients(placement).forward * _width(placement) * self.subject.blueprint.dim
        return self._resident(placement) + per_token * num_tokens + self.made_anew(placement)

    def _learning(self) -> range:
        """Gives the blocks that have a backward pass: from the first adapted one on."""
        places = [layer.block for layer in self.layers if layer.adapted]
        first = min(-1 if place is None else place for place in places)
        return range(max(first, 0), len(self._names))

    def _resident(self, placement: Placement) -> float:
        held = self.weights(placement).on_device(placement.offload_blocks)
        return self.subject.num_backbones * held + self.measured.constant

    def _saved_of(self, index: int, placement: Placement, *, is_plain: bool) -> float:
        """Bytes that a block saves: its input, or everything, and its attention's results."""
        blueprint, tokens = self.subject.blueprint, self.block_tokens[index]
        one = blueprint.dim * _width(placement) * tokens
        if is_plain:
            return one * self.coefficients(placement).kept
        selective = placement.checkpointing == "selective"
        return 2 * one + (2 * one + 4 * blueprint.num_heads * tokens if selective else 0.0)


def _width(placement: Placement) -> float:
    """Bytes of an activation, of those in bf16, in which the coefficients are measured."""
    return placement.dtype.itemsize / 2
