"""How much a noise level counts in the loss: a positive function of sigma."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


class Weighting(abc.ABC):
    """A weight per sample, from its sigma."""

    @abc.abstractmethod
    def weight(self, sigma: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """Gives the weights."""


@dataclass(frozen=True)
class ConstantWeighting(Weighting):
    """1 everywhere: the flow-matching loss as published; the density of sigma alone decides."""

    def weight(self, sigma: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """Gives ones."""
        return torch.ones_like(sigma)


@dataclass(frozen=True)
class BellWeighting(Weighting):
    """exp(-2 (sigma - 1/2)^2), scaled to mean 1 over a uniform sigma: the middle counts more, the ends less."""

    def weight(self, sigma: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """Gives the bell; its integral over [0, 1] is sqrt(pi / 2) * erf(1 / sqrt(2))."""
        mean = math.sqrt(math.pi / 2) * math.erf(1 / math.sqrt(2))
        return torch.exp(-2 * (sigma - 0.5).square()) / mean


@dataclass(frozen=True)
class CosmapWeighting(Weighting):
    """2 / (pi (1 - 2 sigma + 2 sigma^2)): the cosine map of arXiv:2403.03206, section 3.1."""

    def weight(self, sigma: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
        """Gives the weights, mean 1 over a uniform sigma."""
        return 2 / (math.pi * (1 - 2 * sigma + 2 * sigma.square()))
