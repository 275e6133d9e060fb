"""The time of a training step on a card, from shapes.

    time      = max(computing + copies over PCIe - overlap * min(computing, copies), host)
    computing = products + attention + low-rank products + copies of weights + traffic + launches

    products   2 n rows columns for every linear layer in a block: forwards; backwards as much where the block learns
               (frozen weights have no gradient of their own); and what checkpointing repeats
    attention  4 n^2 dim per block forwards, 2.5 times that backwards (five products instead of two)
    low-rank   2 n r (rows + columns) forwards, twice that backwards
    copies     of weights: codes are transposed for the backward product of low_bit; exact reads weights back in bf16
               before every product
    traffic    everything between products, measured; launches: what does not grow with the tokens, measured
    PCIe       waiting blocks come twice a step, waiting activations go and come
    host       starts the kernels of every pass through a block, as long for few tokens as for many; measured. A
               backward pass counts as two: a block has four passes, three where nothing is repeated

Rates are a card's own (loralab.memory.plan.cards) times the share of them that is reached in practice.
"""

from __future__ import annotations

import dataclasses
from collections import Counter

from loralab.memory.placement import Placement
from loralab.memory.plan.activations import Peaks
from loralab.memory.plan.blueprint import Layer
from loralab.memory.plan.cards import Card
from loralab.memory.plan.coefficients import compilation

BACKWARD_ATTENTION = 2.5


class Roofline:
    """Predicts times of one subject on one card."""

    def __init__(self, peaks: Peaks, card: Card) -> None:
        """Takes what is trained and the card."""
        self.peaks, self.card = peaks, card
        self._share = peaks.measured.efficiency
        self._blueprint = peaks.subject.blueprint
        shapes = [
            [dataclasses.replace(layer, name="", block=None) for layer in block] for block in peaks.in_block
        ]
        self._first_alike = [shapes.index(shape) for shape in shapes]

    def step_s(self, placement: Placement) -> float:
        """Predicts seconds per micro-batch, forwards and backwards."""
        busy = self._beside(self.computing_s(placement), self.copying_s(placement))
        num_passes = sum(self.passes(placement).values())
        return max(busy, 1e-6 * self.peaks.measured.host[compilation(placement)] * num_passes)

    def passes(self, placement: Placement) -> dict[int, int]:
        """Counts the passes of a step through each block that learns; backwards counts as two."""
        plain = self.peaks.plain(placement)
        return {index: 4 - (index in plain) for index in self.peaks.learning}

    def computing_s(self, placement: Placement) -> float:
        """Predicts seconds of computing, with what is measured of it."""
        known = self.known_s(placement)
        return known + self._measured_s(placement)

    def known_s(self, placement: Placement) -> float:
        """Predicts what follows from shapes alone: products, attention and copies of weights."""
        plain, learning = self.peaks.plain(placement), self.peaks.learning
        kinds = Counter(
            (self._first_alike[index], index in learning, index in plain) for index in self._blocks()
        )
        return sum(
            count * self._block_s(index, placement, learning=learns, is_plain=keeps)
            for (index, learns, keeps), count in kinds.items()
        )

    def measured_terms(self, placement: Placement) -> tuple[float, float]:
        """Gives the factors (seconds per unit) of `traffic` and `launch` in a step; backwards counts as two passes."""
        passes = self.passes(placement)
        tokens = sum(count * self.peaks.block_tokens[index] for index, count in passes.items())
        traffic = tokens * self._blueprint.dim / (self._share["bandwidth"] * self.card.bandwidth * 1e9)
        return traffic, 1e-6 * len(self.peaks.learning)

    def forward_s(self, placement: Placement, *, num_tokens: int, pictures: int) -> float:
        """Predicts seconds of a forward pass on so many pictures of `num_tokens` each, as for drawing."""
        scale = pictures * num_tokens / max(self.peaks.block_tokens)
        longer = num_tokens * self.peaks.subject.micro_batch / max(self.peaks.block_tokens)
        layers = [layer for layer in self.peaks.layers if layer.block is not None]
        products = sum(self._product_s(layer, placement, passes=1) for layer in layers)
        attention = sum(self._attention_s(index, forwards=1, backwards=0) for index in self._blocks())
        traffic = self._measured_s(placement.without(checkpointing="none", offload_activations=False)) / 3
        computing = scale * (products + longer * attention + traffic)
        weights = self.peaks.weights(placement).waiting(placement.offload_blocks)
        return self._beside(computing, weights / self._pcie)

    def _block_s(self, index: int, placement: Placement, *, learning: bool, is_plain: bool) -> float:
        mode = "none" if is_plain or not learning else placement.checkpointing
        seconds = 0.0
        for layer in self.peaks.in_block[index]:
            again = mode != "none" and (layer.repeated or not placement.compile)
            seconds += self._product_s(layer, placement, passes=1 + learning + again)
            seconds += self._copy_s(layer, placement, forwards=1 + again, backwards=int(learning))
            if layer.adapted:
                seconds += self._low_rank_s(layer, passes=1 + 2 * learning + again)
        forwards = 1 + (mode == "full")
        return seconds + self._attention_s(index, forwards=forwards, backwards=int(learning))

    def _product_s(self, layer: Layer, placement: Placement, *, passes: int) -> float:
        kind = placement.kind if placement.low_bit and layer.quantized and placement.kind else "bf16"
        tokens = self.peaks.subject.micro_batch * self.peaks.subject.tokens.of(layer.stream)
        return 2 * passes * tokens * layer.numel / (self.card.rate(kind) * self._share[kind])

    def _low_rank_s(self, layer: Layer, *, passes: int) -> float:
        tokens = self.peaks.subject.micro_batch * self.peaks.subject.tokens.of(layer.stream)
        operations = 2 * passes * tokens * self.peaks.subject.adapter.rank * (layer.rows + layer.columns)
        return operations / (self.card.rate("bf16") * self._share["bf16"])

    def _copy_s(self, layer: Layer, placement: Placement, *, forwards: int, backwards: int) -> float:
        if placement.kind is None or not layer.quantized:
            return 0.0
        moved = 2 * backwards if placement.low_bit else 5 * (forwards + backwards)
        return moved * layer.numel / (self._share["bandwidth"] * self.card.bandwidth * 1e9)

    def _attention_s(self, index: int, *, forwards: int, backwards: int) -> float:
        subject = self.peaks.subject
        once = (
            4
            * subject.micro_batch
            * self.peaks.lengths[index] ** 2
            * self._blueprint.dim
            / self.card.rate("bf16")
        )
        backward = BACKWARD_ATTENTION * backwards * once / self._share["attention_backward"]
        return forwards * once / self._share["attention_forward"] + backward

    def copying_s(self, placement: Placement) -> float:
        """Predicts seconds of copies between the card and main memory."""
        weights = self.peaks.weights(placement).waiting(placement.offload_blocks)
        return 2 * (weights + self.peaks.moved(placement)) / self._pcie

    def _measured_s(self, placement: Placement) -> float:
        coefficients = self.peaks.coefficients(placement)
        traffic, launch = self.measured_terms(placement)
        return traffic * coefficients.traffic + launch * coefficients.launch

    def _blocks(self) -> range:
        return range(len(self.peaks.block_tokens))

    def _beside(self, computing: float, copying: float) -> float:
        return computing + copying - self._share["overlap"] * min(computing, copying)

    @property
    def _pcie(self) -> float:
        return self.card.pcie * 1e9 * self._share["pcie"]
