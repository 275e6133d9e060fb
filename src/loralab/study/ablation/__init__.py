"""An ablation: a fixed list of runs, every cell of a design under every seed, as the plan of an ordinary study."""

from loralab.study.ablation.definition import ABLATIONS, BASELINE, Ablation, Claim, Confirm, Expected, Factor
from loralab.study.ablation.design import Cell, cells_of
from loralab.study.ablation.fraction import Fraction, fraction_of
from loralab.study.ablation.reading import read_ablation

__all__ = [
    "ABLATIONS", "BASELINE", "Ablation", "Cell", "Claim", "Confirm", "Expected", "Factor", "Fraction", "cells_of",
    "fraction_of", "read_ablation",
]  # fmt: skip
