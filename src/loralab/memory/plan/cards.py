"""What graphics cards can do: dense tensor-core rates, memory bandwidth and size, and the way to main memory.

`cards.json` has the numbers of NVIDIA's data sheets and architecture papers, without sparsity and with sums in fp32.
A card that is not there is measured: a product and two copies, which takes a second.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any

import torch

from loralab.errors import UserError
from loralab.memory.plan.coefficients import Measured

GIB = 2**30
CONTEXT_GIB = 0.5
"""What CUDA itself takes of a card."""
FRAGMENTATION = 0.03
"""Share of the free memory that the allocator cannot hand out in pieces of the wanted size."""


@dataclass(frozen=True)
class Card:
    """A graphics card.

    Attributes:
        name: as the driver gives it, without the maker.
        memory_gib: all of it.
        bf16, int8, fp8: 1e12 operations per second in dense products; None where there are no tensor cores for it.
        bandwidth: of its memory, 1e9 bytes per second.
        pcie: to main memory in one direction, 1e9 bytes per second.
        source: of the numbers.
    """

    name: str
    memory_gib: float
    bf16: float
    int8: float | None
    fp8: float | None
    bandwidth: float
    pcie: float
    source: str

    def rate(self, products: str) -> float:
        """Gives operations per second for bf16, int8 or fp8 products."""
        rate: float | None = {"bf16": self.bf16, "int8": self.int8, "fp8": self.fp8}[products]
        assert rate is not None
        return rate * 1e12

    @property
    def usable_gib(self) -> float:
        """What a run can count on if nothing else is on the card."""
        return (self.memory_gib - CONTEXT_GIB) * (1 - FRAGMENTATION)


@functools.cache
def known() -> dict[str, Card]:
    """Gives the cards of the data sheets by name."""
    content = json.loads(resources.files(__package__).joinpath("cards.json").read_text())
    return {name: Card(name=name, **values) for name, values in content.items()}


def named(name: str) -> Card:
    """Gives a card by the name that a user types or the driver gives.

    Raises:
        UserError: listing what is known.
    """
    card = _found(name)
    if card is None:
        raise UserError(f"plan.card={name} is not known; known are {', '.join(known())}")
    return card


def present(device: torch.device, measured: Measured) -> Card:
    """Gives the card of this machine: from its data sheet, else measured."""
    name = torch.cuda.get_device_name(device)
    memory = torch.cuda.get_device_properties(device).total_memory / GIB
    card = _found(name) or _timed(name, device, measured)
    return dataclasses.replace(card, memory_gib=memory)


def free_gib(device: torch.device) -> float:
    """Gives what a run can count on now: what is free, and what this process holds and no longer uses."""
    free, _ = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return float((free + unused) / GIB * (1 - FRAGMENTATION))


def _found(name: str) -> Card | None:
    short = re.sub(r"^(nvidia )?(geforce )?", "", name.strip().lower())
    for card in known().values():
        if short == card.name.lower():
            return card
    aliases = {
        r"h100 80gb hbm3|h100": "H100 SXM",
        r"h200": "H200 SXM",
        r"a100-sxm4-80gb|a100": "A100 SXM 80GB",
        r"a100-sxm4-40gb": "A100 SXM 40GB",
        r"a100 80gb pcie": "A100 PCIe 80GB",
        r"a100-pcie-40gb": "A100 PCIe 40GB",
        r"rtx 6000 ada generation": "RTX 6000 Ada",
        r"rtx 3060 12gb": "RTX 3060",
    }
    return next((known()[value] for key, value in aliases.items() if re.fullmatch(key, short)), None)


def _timed(name: str, device: torch.device, measured: Measured) -> Card:
    """Measures a card; the rates are divided by the shares that products usually reach of a data sheet's."""
    side, count = 4096, 2**28
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    source = torch.empty(count, dtype=torch.uint8, device=device)
    pinned = torch.empty(count, dtype=torch.uint8, pin_memory=True)
    share = measured.efficiency
    bf16 = 2e-12 * side**3 / _seconds(lambda: a @ b) / share["bf16"]
    major, minor = torch.cuda.get_device_capability(device)
    return Card(
        name=name.removeprefix("NVIDIA "),
        memory_gib=0.0,
        bf16=bf16,
        int8=2 * bf16 if major >= 8 else None,
        fp8=2 * bf16 if (major, minor) >= (8, 9) else None,
        bandwidth=2e-9 * count / _seconds(source.clone) / share["bandwidth"],
        pcie=1e-9 * count / _seconds(lambda: source.copy_(pinned, non_blocking=True)) / share["pcie"],
        source="measured now; int8 and fp8 at twice the rate of bf16",
    )


def _seconds(function: Callable[[], Any], *, repeats: int = 10) -> float:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    function()
    begin.record()
    for _ in range(repeats):
        function()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1000 / repeats
