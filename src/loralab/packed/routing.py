"""Which part of a batch belongs to which trial, and what each trial's dropout leaves out.

On a CPU without compiling, masks come from each slot's own generator, drawn in the order in which a run of its own
would draw them: the same numbers. A layer that is run again in the backward pass (checkpointing) is given the same mask
again. In compiled code and on a GPU masks are drawn for the whole batch at once, from the device's generator.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Routing:
    """The present pass of the network, as its packed layers see it.

    Attributes:
        device: where adapters are computed.
        num_samples: of all parts.
        present: the slots that have a part, in their order; None where all have one.
        drops: some trial of the pass has dropout on.
    """

    def __init__(self, *, width: int, device: torch.device, exact: bool) -> None:
        """Has no samples yet.

        Args:
            width: slots.
            device: where adapters are computed.
            exact: draw each slot's masks by its own generator.
        """
        self.device = device
        self.num_samples = 0
        self.present: Tensor | None = None
        self._exact = exact
        self.drops = False
        self._rates = torch.zeros(width, device=device)
        self._given: list[float] = [0.0] * width
        self._generators: list[torch.Generator | None] = [None] * width
        self._adapted: list[set[int]] = [set() for _ in range(width)]
        self._slots: list[int] = []
        self._indices: dict[tuple[int, ...], Tensor] = {}
        self._begun: dict[tuple[int, int], Tensor] = {}

    def occupy(
        self, slot: int, *, dropout: float, generator: torch.Generator | None, layers: Iterable[nn.Module]
    ) -> None:
        """Gives a slot its trial's dropout, its generator and the layers that the trial adapts."""
        self._given[slot], self._generators[slot] = dropout, generator
        self._adapted[slot] = {id(layer) for layer in layers}
        self._rates[slot] = dropout

    def begin(self, slots: Sequence[int], *, is_whole: bool, num_samples: int, training: bool) -> None:
        """Begins a pass: equal parts of the batch belong to these slots.

        Args:
            slots: in the order of their parts.
            is_whole: every slot has a part.
            num_samples: of all parts.
            training: dropout is on.
        """
        self.num_samples = num_samples
        self._slots = list(slots)
        self.present = None if is_whole else self._index(tuple(slots))
        self.drops = training and any(self._given[slot] for slot in slots)
        self._begun = {}

    def _index(self, slots: tuple[int, ...]) -> Tensor:
        """Gives slots as an index, sent once: the host waits for the device where it sends a list."""
        if slots not in self._indices:
            self._indices[slots] = torch.tensor(slots, device=self.device)
        return self._indices[slots]

    def dropped(self, parts: Float[Tensor, " k m i"], *, layer: nn.Module) -> Float[Tensor, " k m i"]:
        """Gives the parts with each slot's dropout applied."""
        if not self.drops:
            return parts
        if self._exact:
            return parts * torch.stack(
                [self._mask(slot, part, layer) for slot, part in zip(self._slots, parts, strict=True)]
            )
        rates = self._rates if self.present is None else self._rates[self.present]
        kept = 1 - rates[:, None, None]
        return parts * ((torch.rand_like(parts, dtype=torch.float32) < kept) / kept).to(parts.dtype)

    def _mask(self, slot: int, part: Tensor, layer: nn.Module) -> Tensor:
        """Draws a slot's mask as torch's own dropout does."""
        rate, source = self._given[slot], self._generators[slot]
        if not rate or source is None or id(layer) not in self._adapted[slot]:
            return torch.ones_like(part)
        key = (id(layer), slot)
        if key in self._begun:  # the block is run again: what was drawn since then stays drawn
            again = torch.Generator()
            again.set_state(self._begun[key])
            source = again
        else:
            self._begun[key] = source.get_state()
        return torch.empty_like(part).bernoulli_(1 - rate, generator=source).div_(1 - rate)
