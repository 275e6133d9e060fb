"""Trains trials one after another on compiled blocks and prints, as JSON, the graphs made and the losses.

A program of its own, since the checks of shapes that pytest adds to every function of ours cannot be compiled.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import torch
from tests.packed.trials import CPU, TRIALS, alone, base_of, klein, together

from loralab.memory import Placement, num_graphs


def trained(folder: Path) -> dict[str, Any]:
    """Gives the graphs after the first trial and after all, and the last trial's losses in the pack and alone."""
    placement = Placement(CPU, torch.float32, checkpointing="full", compile=True)
    plain = [
        dataclasses.replace(
            TRIALS[1], seed=seed, num_steps=2 + seed, spec=dataclasses.replace(TRIALS[1].spec, rank=rank)
        )
        for seed, rank in enumerate((8, 2, 4, 6))
    ]
    base = base_of(klein(folder, placement), plain, width=2, static=True)
    together(base, plain[:1])
    first = num_graphs()
    later, _ = together(base, plain[1:])
    losses = {"losses": later[2].losses, "alone": alone(folder, plain[3]).losses}
    return {"first": first, "all": num_graphs(), **losses}


if __name__ == "__main__":
    print(json.dumps(trained(Path(sys.argv[1]))))
