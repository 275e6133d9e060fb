"""Runs a program under a hard limit on the GPU's memory: `python bench/capped.py 8 train.py model=...`."""

from __future__ import annotations

import runpy
import sys

import torch


def main() -> None:
    """Sets the limit (in GiB) for this process and runs the rest of the command line in it."""
    limit = float(sys.argv[1])
    if torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory / 2**30
        torch.cuda.set_per_process_memory_fraction(limit / total)
    sys.argv = sys.argv[2:]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
