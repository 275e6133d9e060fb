"""What cannot be derived from shapes, as it was measured: `measured.json`, written by bench/planner_error.py --fit.

A way of computing is a key `family/compiled|eager/bf16|low_bit|exact`. Of it are known

    inside     bytes per token and unit of width while a block is differentiated that repeats all (full) or all but
               attention (selective), beside what is saved of the blocks
    kept       bytes per token, unit of width and block that are saved where nothing is repeated
    forward    bytes per token and unit of width while one block is computed without gradients
    traffic    bytes per token, unit of width and pass through a block that are moved besides its products
    launch     microseconds per block and step that do not grow with the tokens

`num_cases` says by kind of checkpointing how many measurements stand behind them: 0 is an estimate.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources
from typing import Any

from loralab.memory.checkpointing import MODES
from loralab.memory.placement import Placement


@dataclass(frozen=True)
class Coefficients:
    """Of one way of computing a family; see the module."""

    inside: dict[str, float]
    kept: float
    forward: float
    traffic: float
    launch: float
    num_cases: dict[str, int]


@dataclass(frozen=True)
class Measured:
    """All that was measured.

    Attributes:
        source: command, card and date.
        constant: bytes that every step has besides (workspaces of libraries, embeddings, the loss).
        encode: fp32 copies of the VAE's first level that are alive when a picture is encoded.
        decode: of its second level, at full resolution, when one is decoded, with cuDNN's workspace, which is larger
            where there is room.
        efficiency: share of a card's rates that is reached: bf16, int8, fp8, attention_forward, attention_backward,
            bandwidth and pcie; overlap is the share of copies that is hidden behind computing.
        host: microseconds in which the host starts the kernels of one pass through a block, compiled or eager; a step
            of few tokens takes no less.
        ways: by key.
    """

    source: str
    constant: float
    encode: float
    decode: float
    efficiency: dict[str, float]
    host: dict[str, float]
    ways: dict[str, Coefficients]

    def of(self, family: str, placement: Placement) -> Coefficients:
        """Gives the coefficients of a way of computing; a family that was never measured gets the largest known."""
        way = way_of(placement)
        own = self.ways.get(f"{family}/{way}")
        if own is not None:
            return own
        others = [value for key, value in self.ways.items() if key.endswith(f"/{way}")]
        largest = {
            name: max(getattr(other, name) for other in others)
            for name in ("kept", "forward", "traffic", "launch")
        }
        inside = {mode: max(other.inside[mode] for other in others) for mode in others[0].inside}
        return Coefficients(inside=inside, num_cases=dict.fromkeys(MODES, 0), **largest)


def way_of(placement: Placement) -> str:
    """Gives the key of a placement, without the family."""
    products = "bf16" if placement.kind is None else "low_bit" if placement.low_bit else "exact"
    return f"{compilation(placement)}/{products}"


def compilation(placement: Placement) -> str:
    """Gives the key of how blocks are started."""
    return "compiled" if placement.compile else "eager"


@functools.cache
def measured() -> Measured:
    """Reads what is shipped."""
    return from_json(json.loads(resources.files(__package__).joinpath("measured.json").read_text()))


def from_json(content: dict[str, Any]) -> Measured:
    """Gives the values of such a file."""
    ways = {key: Coefficients(**values) for key, values in content["ways"].items()}
    return Measured(**{**content, "ways": ways})
