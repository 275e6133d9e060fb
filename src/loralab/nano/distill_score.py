"""How near drawn pictures are to true ones, in features that need no pretrained network, and how sharp they are.

Features of a picture, each divided by its deviation over the true pictures:
    layout    mean colour in 4x4 cells                                         3 x 16 numbers
    detail    log(energy + 1e-4) of the grey picture's bands in 4x4 cells      3 x 16 numbers
(few, since the distance of two finite sets of one distribution grows with their square)
where band k is the picture at half size k times, less its 3x3 mean. Detail tells blur from sharpness, cell by cell.

    distance = |mu - nu|^2 + trace(S + T - 2 (S T)^(1/2))         with shrunken covariances, see evaluation.distances
Sharpness is the Laplacian energy of a set over that of another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from loralab.evaluation.distances import Vectors, frechet, moments
from loralab.evaluation.distribution import laplacian_energy

BANDS, CELLS = 3, 4
LEAST_ENERGY = 1e-4
Decode = Callable[[Tensor], Tensor]


def features(pixels: Float[Tensor, " b 3 height width"]) -> Float[Tensor, " b d"]:
    """Gives layout and detail of pictures in [-1, 1]."""
    layout = functional.adaptive_avg_pool2d(pixels, CELLS).flatten(1)
    grey, detail = pixels.mean(1, keepdim=True), []
    for _ in range(BANDS):
        band = grey - functional.avg_pool2d(functional.pad(grey, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        energy = functional.adaptive_avg_pool2d(band.square(), CELLS).flatten(1)
        detail.append((energy + LEAST_ENERGY).log())
        grey = functional.avg_pool2d(grey, 2)
    return torch.cat([layout, *detail], dim=1)


@dataclass(frozen=True)
class PictureSet:
    """What is kept of a set of pictures.

    Attributes:
        pixels: the pictures in [-1, 1], on the CPU.
        mean, covariance: of their features in the yardstick's units.
        pixel_energy: their mean Laplacian energy; latent_energy: that of their latents.
    """

    pixels: Float[Tensor, " b 3 height width"]
    mean: Vectors
    covariance: Vectors
    pixel_energy: float
    latent_energy: float


class Yardstick:
    """Measures sets of latents against true pictures."""

    def __init__(self, true: Float[Tensor, " b 3 height width"], *, encode: Decode, decode: Decode) -> None:
        """Takes the true pictures' own spread as the unit of each feature."""
        self.decode = decode
        self._deviation = features(true).std(0).clamp_min(1e-6)
        self.true = self._summary(true, latents=encode(true))

    def measure(self, latents: Float[Tensor, " b c h w"]) -> PictureSet:
        """Decodes a set and summarises it."""
        return self._summary(self.decode(latents), latents=latents)

    def _summary(self, pixels: Tensor, *, latents: Tensor) -> PictureSet:
        mean, covariance = moments((features(pixels) / self._deviation).double().cpu().numpy())
        return PictureSet(
            pixels.cpu(),
            mean,
            covariance,
            laplacian_energy(pixels).mean().item(),
            laplacian_energy(latents).mean().item(),
        )


def distance(drawn: PictureSet, to: PictureSet) -> float:
    """Gives the Fréchet distance of two sets."""
    return frechet(drawn.mean, drawn.covariance, to.mean, to.covariance)


def compared(drawn: PictureSet, *, true: PictureSet, many: PictureSet) -> dict[str, float]:
    """Gives a set's figures against true pictures and against those of the base at many steps."""
    return {
        "to_true": distance(drawn, true),
        "to_many": distance(drawn, many),
        "sharpness_to_true": drawn.pixel_energy / true.pixel_energy,
        "sharpness_to_many": drawn.pixel_energy / many.pixel_energy,
        "latent_sharpness_to_many": drawn.latent_energy / many.latent_energy,
    }
