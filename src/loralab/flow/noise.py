"""Random numbers as a pure function of (seed, stream, index): the same on every device, in every trial, after a resume.

Numbers are drawn on the CPU, since generators of different devices differ. `stream` names the purpose, so that two
uses of one seed never share numbers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def generator(*, seed: int, stream: str, index: int) -> torch.Generator:
    """Gives a CPU generator seeded from a hash of its three names."""
    digest = hashlib.sha256(f"{seed}/{stream}/{index}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def seeded_noise(shape: Sequence[int], *, seed: int, stream: str, index: int) -> Float[Tensor, " ..."]:
    """Gives standard normal numbers, fp32, on the CPU."""
    return torch.randn(tuple(shape), generator=generator(seed=seed, stream=stream, index=index))


def seeded_uniform(count: int, *, seed: int, stream: str, index: int) -> Float[Tensor, " count"]:
    """Gives stratified uniform numbers strictly inside (0, 1), one from each of `count` equal intervals, shuffled.

    Stratification keeps every number uniform and makes a batch's sigmas cover the range (lower variance of the loss).
    """
    source = generator(seed=seed, stream=stream, index=index)
    offsets = torch.rand(count, generator=source, dtype=torch.float64)
    strata = torch.randperm(count, generator=source).double()
    return ((strata + offsets) / count).clamp(1e-6, 1 - 1e-6).float()
