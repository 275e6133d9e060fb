"""Moves sigmas towards noise, as pictures with more tokens need (Esser et al. 2024, arXiv:2403.03206, eq. 23).

sigma' = shift * sigma / (1 + (shift - 1) * sigma),    shift = exp(mu)
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


def shift_sigma(sigma: Float[Tensor, " ..."], shift: float) -> Float[Tensor, " ..."]:
    """Shifts sigma in [0, 1]; keeps 0 and 1 in place; shift 1 changes nothing."""
    return shift * sigma / (1 + (shift - 1) * sigma)


class Shift(abc.ABC):
    """How far sigmas are moved for a picture of so many tokens."""

    @abc.abstractmethod
    def factor(self, num_tokens: int) -> float:
        """Gives the shift, 1 for none."""


@dataclass(frozen=True)
class ConstantShift(Shift):
    """The same shift for every resolution."""

    shift: float

    def __post_init__(self) -> None:
        if not self.shift > 0:
            raise ValueError(f"shift={self.shift} must be positive; 1 means no shift")

    def factor(self, num_tokens: int) -> float:
        """Gives the constant."""
        return self.shift


@dataclass(frozen=True)
class TokenShift(Shift):
    """A mu that is linear in the number of picture tokens, through two known points, clamped to their range."""

    base_tokens: int = 256
    base_mu: float = 0.5
    max_tokens: int = 4096
    max_mu: float = 1.15

    def factor(self, num_tokens: int) -> float:
        """Gives exp(mu) for this many tokens."""
        share = (num_tokens - self.base_tokens) / (self.max_tokens - self.base_tokens)
        return math.exp(self.base_mu + min(max(share, 0.0), 1.0) * (self.max_mu - self.base_mu))
