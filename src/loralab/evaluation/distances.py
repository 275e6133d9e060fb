"""How far pictures are from others: pair by pair in pixels and in features, and set against set.

Pixels are in [-1, 1]. The feature distance of a pair is one minus the cosine between channel vectors,
averaged over places and then over resolutions (the form of LPIPS, Zhang et al. 2018, arXiv:1801.03924,
without its learned channel weights): 0 for equal pictures, at most 2.

    d(x, y) = mean over maps of mean over places of (1 - <x, y>)

The Fréchet distance of two sets of feature vectors (Heusel et al. 2017, arXiv:1706.08500, eq. 6) is

    |mu - nu|^2 + trace(S + T - 2 (S T)^(1/2)).

With a few hundred pictures a covariance of 1,280 features is mostly noise. So sets are compared in the
`num_axes` leading principal axes of all of them together, and every covariance is drawn towards a multiple of
the identity (Ledoit and Wolf 2004, doi:10.1016/S0047-259X(03)00096-4). Figures compare only within one call:
the axes and the bias that remains depend on the sets and on their size, which is therefore the same on both
sides.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from loralab.errors import UserError
from loralab.evaluation.features import FeatureNet

Vectors = NDArray[np.float64]


def pixel_distance(
    x: Float[Tensor, " b 3 height width"], y: Float[Tensor, " b 3 height width"]
) -> Float[Tensor, " b"]:
    """Gives the mean absolute difference of each pair: 0 for equal pictures, 2 for black against white."""
    return (x - y).abs().mean(dim=(1, 2, 3))


def feature_distance(
    x: Float[Tensor, " b 3 height width"], y: Float[Tensor, " b 3 height width"], *, network: FeatureNet
) -> Float[Tensor, " b"]:
    """Gives the distance of each pair in the network's maps."""
    distances = []
    for left, right in zip(network.batches(x), network.batches(y), strict=True):
        cosines = [(a * b).sum(1).mean((1, 2)) for a, b in zip(left.maps, right.maps, strict=True)]
        distances.append(1 - torch.stack(cosines).mean(0))
    return torch.cat(distances).clamp(min=0)


def frechet_distances(
    sets: Mapping[str, Float[Tensor, " b d"]], *, reference: str, num_axes: int = 32
) -> dict[str, float]:
    """Gives the Fréchet distance of every set of feature vectors to the one called `reference`."""
    sizes = {name: len(vectors) for name, vectors in sets.items()}
    if len(set(sizes.values())) != 1 or min(sizes.values()) < 2:
        raise UserError(f"Fréchet distances need sets of one size, at least 2 pictures each, not {sizes}")
    axes = principal_axes(torch.cat(list(sets.values())).double().numpy(), num_axes=num_axes)
    found = {name: moments(vectors.double().numpy() @ axes) for name, vectors in sets.items()}
    return {name: frechet(*found[name], *found[reference]) for name in sets if name != reference}


def frechet(mu: Vectors, s: Vectors, nu: Vectors, t: Vectors) -> float:
    """Gives the Fréchet distance of two normal distributions by means `mu`, `nu` and covariances `s`, `t`."""
    root = _root(s)
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ t @ root), 0, None)).sum()
    return float(max(np.square(mu - nu).sum() + np.trace(s) + np.trace(t) - 2 * cross, 0.0))


def retrieval(distances: Float[Tensor, " b b"]) -> float:
    """Gives the share of rows (drawn) whose nearest column (true) is their own."""
    return (distances.argmin(1) == torch.arange(len(distances))).double().mean().item()


def principal_axes(vectors: Vectors, *, num_axes: int) -> Vectors:
    """Gives the leading right singular vectors of the centred vectors, in columns."""
    _, _, rows = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
    return rows[:num_axes].T


def moments(vectors: Vectors) -> tuple[Vectors, Vectors]:
    """Gives the mean and the shrunken covariance: (1 - w) S + w m I with Ledoit and Wolf's weight w."""
    count, width = vectors.shape
    mean = vectors.mean(0)
    centred = vectors - mean
    covariance = centred.T @ centred / count
    target = np.trace(covariance) / width * np.eye(width)
    spread = np.square(covariance - target).sum()
    squares = np.square(centred)
    noise = ((squares.T @ squares).sum() / count - np.square(covariance).sum()) / count
    weight = 0.0 if spread == 0 else float(np.clip(noise / spread, 0, 1))
    return mean, (1 - weight) * covariance + weight * target


def _root(matrix: Vectors) -> Vectors:
    """Gives the symmetric square root of a positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
