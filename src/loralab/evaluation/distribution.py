"""Sets of pictures against sets: is the distribution the same, at few steps as at many, and has it stayed sharp?

Fréchet distance to a fixed reference. Features have 1,280 numbers and a set a few hundred pictures, so covariances are
full only in the `num_axes` leading principal axes of the *reference*, shrunken there after Ledoit and Wolf, and a
multiple of the identity in the remaining directions, where s and t are the traces that remain:

    d = |mu - nu|^2 + trace(S + T - 2 (S T)^(1/2)) + (sqrt(s) - sqrt(t))^2

The axes belong to the reference, so figures of many adapters compare, also from different runs, as long as reference
and number of pictures are the same. Bias: a finite set of the reference's own distribution has d above 0, roughly in
proportion to one over its size, and axes fitted to the reference exaggerate its own variance in them. More axes see
more and add more bias. Other true pictures of varied_linocut, and the same blurred by 3x3, were at

    axes             4       8      16      32      64
    128 pictures   6, 41   9, 46  15, 56  27, 75  47, 104
    256 pictures   2       3       5      10      18

so that 8 lose little of the blur and most of the bias. Read figures beside that of a second set of true pictures.

Precision is the share of drawn pictures inside the reference's manifold, recall the share of true ones inside the drawn
manifold; a manifold is the union of balls that reach each picture's k-th neighbour (Kynkäänniemi et al. 2019,
arXiv:1904.06991, eq. 1, k = 3).

Sharpness is the energy of the discrete Laplacian, mean(L(x)^2), of one set over that of another on the same captions
and noise; below 1 is blur, above 1 is noise or contrast. Drift is rms(x - y) / rms(y - mean(y)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from loralab.errors import UserError
from loralab.evaluation.distances import Vectors, frechet, moments, principal_axes

NEIGHBOURS = 3
"""The k of precision and recall."""


@dataclass(frozen=True)
class _Summary:
    """A set in the reference's space: mean, covariance in the leading axes, trace of what remains."""

    mean: Vectors
    covariance: Vectors
    rest_mean: Vectors
    rest_trace: float


class Reference:
    """The features of true pictures, and distances of other sets to them."""

    def __init__(self, vectors: Float[Tensor, " b d"], *, num_axes: int = 8) -> None:
        """Fits the axes.

        Args:
            vectors: one row for each true picture.
            num_axes: directions with a full covariance; the most that the pictures span are taken.
        """
        if len(vectors) < NEIGHBOURS + 1:
            raise UserError(
                f"a distribution needs at least {NEIGHBOURS + 1} true pictures, not {len(vectors)}: hold out more"
            )
        self.vectors = vectors.double()
        rows = self.vectors.numpy()
        self._axes = principal_axes(rows, num_axes=min(num_axes, len(rows) - 1))
        self._summary = self._summarised(rows)

    def frechet(self, vectors: Float[Tensor, " n d"]) -> float:
        """Gives the Fréchet distance of a set of as many pictures as the reference has."""
        if len(vectors) != len(self.vectors):
            raise UserError(
                f"{len(vectors)} pictures against {len(self.vectors)}: a Fréchet distance needs sets of one size"
            )
        drawn, true = self._summarised(vectors.double().numpy()), self._summary
        leading = frechet(drawn.mean, drawn.covariance, true.mean, true.covariance)
        rest = np.square(drawn.rest_mean - true.rest_mean).sum()
        return float(leading + rest + (drawn.rest_trace**0.5 - true.rest_trace**0.5) ** 2)

    def precision_recall(self, vectors: Float[Tensor, " n d"], *, k: int = NEIGHBOURS) -> tuple[float, float]:
        """Gives the share of drawn pictures among the true ones, and of true ones among the drawn."""
        drawn = vectors.double()
        return _share_covered(drawn, by=self.vectors, k=k), _share_covered(self.vectors, by=drawn, k=k)

    def _summarised(self, rows: Vectors) -> _Summary:
        mean, covariance = moments(rows @ self._axes)
        rest = rows - rows @ self._axes @ self._axes.T
        return _Summary(mean, covariance, rest.mean(0), float(np.square(rest - rest.mean(0)).sum(1).mean()))


def share_of_kin(
    drawn: Float[Tensor, " n d"],
    *,
    kin: Float[Tensor, " b d"],
    others: Float[Tensor, " m d"],
    ridge: float = 0.1,
) -> float:
    """Gives the share of drawn pictures on the side of kin, not of others, of the plane that best parts the two.

    The plane is that of ridge regression on +1 and -1, in its dual form: K = X X^T over the centred true pictures,
    weights = (K + ridge mean(diag K) I)^-1 y. Half of the emoji of two looks told it from the other half: 99 % and 3 %
    for linocut against Noto (three nearest neighbours: 96 % and 21 %), 84 % and 18 % for Twemoji against Noto.
    """
    count = min(len(kin), len(others))  # equally many, or the plane would favour the larger
    true = torch.cat([kin[:count], others[:count]]).double()
    centre = true.mean(0)
    gram = (true - centre) @ (true - centre).T
    signs = torch.cat([torch.ones(count), -torch.ones(count)]).double()
    weights = torch.linalg.solve(gram + ridge * gram.diagonal().mean() * torch.eye(len(gram)).double(), signs)
    return ((drawn.double() - centre) @ (true - centre).T @ weights > 0).double().mean().item()


def laplacian_energy(pixels: Float[Tensor, " b c height width"]) -> Float[Tensor, " b"]:
    """Gives the mean squared Laplacian of each picture, its border left out."""
    kernel = pixels.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]]).expand(pixels.shape[1], 1, 3, 3)
    return functional.conv2d(pixels, kernel, groups=pixels.shape[1]).square().mean((1, 2, 3))


def sharpness(
    pixels: Float[Tensor, " b c height width"], *, reference: Float[Tensor, " n c height width"]
) -> float:
    """Gives the Laplacian energy of a set over that of the reference."""
    energy = laplacian_energy(reference).double().mean()
    return (laplacian_energy(pixels).double().mean() / energy.clamp(min=1e-12)).item()


def drift(
    pixels: Float[Tensor, " b c height width"], *, reference: Float[Tensor, " b c height width"]
) -> float:
    """Gives how far pictures moved, as a share of the reference's spread: 0 where nothing did."""
    moved, spread = pixels - reference, reference - reference.mean((0, 2, 3), keepdim=True)
    return (moved.square().mean().sqrt() / spread.square().mean().sqrt().clamp(min=1e-12)).item()


def nfe_gap(few: float, many: float) -> float:
    """Gives the distance at few steps over that at many: near 1 or below while distillation is kept."""
    return few / max(many, 1e-12)


def _share_covered(points: Float[Tensor, " n d"], *, by: Float[Tensor, " m d"], k: int) -> float:
    """Gives the share of points in the ball of any of `by` that reaches its k-th neighbour."""
    if len(by) <= k:
        raise UserError(f"precision and recall with k={k} need more than {k} pictures, not {len(by)}")
    radii = torch.cdist(by, by).kthvalue(k + 1, dim=1).values  # the nearest of all is itself
    return (torch.cdist(points, by) <= radii).any(1).double().mean().item()
