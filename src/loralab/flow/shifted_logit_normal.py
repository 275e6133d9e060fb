"""Noise levels of the LTX trainer: a logit-normal that moves with the number of tokens, stretched, partly uniform.

    mu    = base_mu + (max_mu - base_mu) (n - base_tokens) / (max_tokens - base_tokens)       not clamped
    x     = sigmoid(mu + std z),    low = sigmoid(mu - 2.5758 std),    high = sigmoid(mu + 3.0902 std)
    y     = (x - low) / (high - low),    reflected to 2 eps - y below eps,    cut at 1
    sigma = y, or with the probability `uniform_share` uniform on (eps, 1)

z is standard normal; 2.5758 and 3.0902 are its 0.5 % and 99.9 % points (Lightricks/LTX-2,
ltx_trainer/timestep_samplers.py). The 0.1 % above the upper point are cut to sigma = 1 exactly. The vendor divides by
high - low in fp32, which is 0 for some 90,000 tokens (LTX-2 pull request 230); here everything is told from 1 - x, so
that nothing saturates.

With H the distribution function of y before it is reflected, that of sigma is, for eps <= s < 1 and p = uniform_share,

    F(s) = (1 - p) (H(s) - H(2 eps - s)) + p (s - eps) / (1 - eps)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from loralab.flow.sigmas import SigmaSampler

LOW, HIGH = 2.5758, 3.0902
BISECTIONS = 54
"""Halvings of [eps, 1] that exhaust float64."""


@dataclass(frozen=True)
class ShiftedLogitNormal(SigmaSampler):
    """Sigmas of the LTX trainer; `num_tokens` are those of the target, references not counted.

    Attributes:
        std: of the normal numbers.
        uniform_share: probability of a uniform sigma instead.
        eps: the smallest sigma.
        base_tokens, base_mu, max_tokens, max_mu: the two points of the line that gives mu.
    """

    std: float = 1.0
    uniform_share: float = 0.1
    eps: float = 1e-3
    base_tokens: int = 1024
    base_mu: float = 0.95
    max_tokens: int = 4096
    max_mu: float = 2.05

    def __post_init__(self) -> None:
        if not self.std > 0:
            raise ValueError(f"std={self.std} must be positive")
        if not 0 <= self.uniform_share <= 1:
            raise ValueError(f"uniform_share={self.uniform_share} is outside [0, 1]: it is a probability")
        if not 0 < self.eps < 0.5:
            raise ValueError(f"eps={self.eps} is outside (0, 0.5): it is the smallest sigma")

    def mu(self, num_tokens: int) -> float:
        """Gives the mean of the normal numbers for this many tokens, on either side of the two points as well."""
        slope = (self.max_mu - self.base_mu) / (self.max_tokens - self.base_tokens)
        return self.base_mu + slope * (num_tokens - self.base_tokens)

    def quantile(self, uniform: Float[Tensor, " b"], *, num_tokens: int) -> Float[Tensor, " b"]:
        """Inverts F by bisection in float64; the last 0.1 % of the logit-normal share are 1."""
        wanted, mu = uniform.double(), self.mu(num_tokens)
        low, high = torch.full_like(wanted, self.eps), torch.ones_like(wanted)
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            below = self._cumulated(middle, mu=mu) < wanted
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return high.to(uniform.dtype)

    def _cumulated(self, sigma: Float[Tensor, " b"], *, mu: float) -> Float[Tensor, " b"]:
        """Gives F at sigma in [eps, 1)."""
        normal = self._unreflected(sigma, mu=mu) - self._unreflected(2 * self.eps - sigma, mu=mu)
        flat = (sigma - self.eps) / (1 - self.eps)
        return (1 - self.uniform_share) * normal + self.uniform_share * flat

    def _unreflected(self, y: Float[Tensor, " b"], *, mu: float) -> Float[Tensor, " b"]:
        """Gives H at y: the normal distribution function at z = (log x - log(1 - x) - mu) / std."""
        above_low, above_high = (
            _sigmoid(LOW * self.std - mu),
            _sigmoid(-HIGH * self.std - mu),
        )  # 1 - low, 1 - high
        rest = above_low - y * (above_low - above_high)  # 1 - x
        z = (torch.log1p(-rest.clamp(max=1)) - rest.log() - mu) / self.std
        return torch.special.ndtr(z)


def _sigmoid(number: float) -> float:
    return 1 / (1 + math.exp(-number))
