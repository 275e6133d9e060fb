"""Compares gradients of compiled blocks with uncompiled ones and prints, as JSON, their errors and the graphs made.

A program of its own, since the checks of shapes that pytest adds to every function of ours cannot be compiled.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from tests.adapter.twins import KLEIN, ZIMAGE
from tests.memory.held import adapted, error, gradients, held, plain_gradients

from loralab.memory.blocks import Blocks, repeated_blocks
from loralab.memory.compiling import num_graphs


def compared(*, family: str, kind: str | None, device: str = "cpu", **how: Any) -> dict[str, Any]:
    """Gives the relative error of each step's gradients, and how many graphs were compiled."""
    twin = {KLEIN.name: KLEIN, ZIMAGE.name: ZIMAGE}[family]
    network = held(twin, kind)
    Blocks(repeated_blocks(network), device=torch.device(device), compile=True, **how)
    found = gradients(twin, adapted(twin, network))
    pairs = zip(found, plain_gradients(twin, kind), strict=True)
    return {"errors": [error(one, other) for one, other in pairs], "graphs": num_graphs()}


if __name__ == "__main__":
    print(json.dumps(compared(**json.loads(sys.argv[1]))))
