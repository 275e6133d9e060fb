"""Which noise levels training sees: distributions of sigma given by their quantile functions.

A sampler turns uniform numbers into sigmas, so that equal uniform numbers give equal sigmas on every device and in
every trial, and densities are exact. `density` differentiates the quantile function: p(sigma) = du / dsigma.
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from loralab.flow.shift import Shift, shift_sigma


class SigmaSampler(abc.ABC):
    """A distribution of sigma on (0, 1)."""

    @abc.abstractmethod
    def quantile(self, uniform: Float[Tensor, " b"], *, num_tokens: int) -> Float[Tensor, " b"]:
        """Maps uniform numbers in (0, 1) to sigmas, increasing, for pictures of `num_tokens` tokens."""


def density(sampler: SigmaSampler, *, num_tokens: int, bins: int = 64) -> tuple[list[float], list[float]]:
    """Gives (sigma, p(sigma)) at the centres of `bins` equal bins, from 2**16 equally spaced quantiles."""
    uniform = (torch.arange(2**16, dtype=torch.float64) + 0.5) / 2**16
    counts = torch.histc(sampler.quantile(uniform, num_tokens=num_tokens), bins=bins, min=0.0, max=1.0)
    centres = (torch.arange(bins) + 0.5) / bins
    return centres.tolist(), (counts / counts.sum() * bins).tolist()


@dataclass(frozen=True)
class Uniform(SigmaSampler):
    """sigma = u."""

    def quantile(self, uniform: Float[Tensor, " b"], *, num_tokens: int) -> Float[Tensor, " b"]:
        """Returns the uniform numbers."""
        return uniform


@dataclass(frozen=True)
class LogitNormal(SigmaSampler):
    """sigma = sigmoid(mean + std * z), z standard normal (arXiv:2403.03206, section 3.1)."""

    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        if not self.std > 0:
            raise ValueError(f"std={self.std} must be positive")

    def quantile(self, uniform: Float[Tensor, " b"], *, num_tokens: int) -> Float[Tensor, " b"]:
        """Maps through the normal quantile function, computed in float64."""
        z = math.sqrt(2) * torch.erfinv(2 * uniform.double() - 1)
        return torch.sigmoid(self.mean + self.std * z).to(uniform.dtype)


@dataclass(frozen=True)
class Shifted(SigmaSampler):
    """Another sampler's sigmas, shifted by a constant or by the picture's number of tokens."""

    base: SigmaSampler
    shift: Shift

    def quantile(self, uniform: Float[Tensor, " b"], *, num_tokens: int) -> Float[Tensor, " b"]:
        """Shifts the base sampler's quantiles, which keeps their order."""
        return shift_sigma(self.base.quantile(uniform, num_tokens=num_tokens), self.shift.factor(num_tokens))
