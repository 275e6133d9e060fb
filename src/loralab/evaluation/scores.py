"""A style's score from pictures that are already drawn.

For each held-out caption d is the distance to its true picture, averaged over seeds; what counts is the
difference of the pair, d(adapter) - d(base), over captions. The drift of captions without the trigger is the
distance between the base's and the adapter's picture from one noise, divided by the distance between the
base's pictures from two.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from loralab.evaluation.distances import feature_distance, frechet_distances, pixel_distance
from loralab.evaluation.features import FeatureNet
from loralab.evaluation.intervals import Interval, mean_interval, share_interval

Pixels = Float[Tensor, " b 3 height width"]


@dataclass(frozen=True)
class Truths:
    """The true pictures of held-out captions; sources: the same before they were styled, where known."""

    styled: Pixels
    sources: Pixels | None = None


@dataclass(frozen=True)
class Drawn:
    """What base and adapter drew: all captions with the first seed, then all with the second."""

    held_out_base: Pixels
    held_out_adapter: Pixels
    no_trigger_base: Float[Tensor, " m 3 height width"]
    no_trigger_other_seed: Float[Tensor, " m 3 height width"]
    no_trigger_adapter: Float[Tensor, " m 3 height width"]


@dataclass(frozen=True)
class Compared:
    """Distances to the truth: `difference` is adapter - base, below 0 where the adapter is nearer."""

    base: float
    adapter: float
    difference: Interval
    share_improved: Interval


@dataclass(frozen=True)
class Drift:
    """How far the adapter moves pictures that it should leave alone, beside what another seed does."""

    adapter: Interval
    other_seed: Interval
    ratio: float


@dataclass(frozen=True)
class StyleScore:
    """The answers, with how many pictures they rest on."""

    num_held_out: int
    num_no_trigger: int
    num_seeds: int
    pixel: Compared
    feature: Compared
    frechet: dict[str, float]
    drift_pixel: Drift
    drift_feature: Drift

    def to_dict(self) -> dict[str, Any]:
        """Gives plain numbers for JSON."""
        return dataclasses.asdict(self)


def score_drawn(drawn: Drawn, *, truths: Truths, num_seeds: int, network: FeatureNet) -> StyleScore:
    """Scores pictures that are already drawn; no denoiser is needed."""
    repeated = truths.styled.repeat(num_seeds, 1, 1, 1)

    def in_features(x: Pixels, y: Pixels) -> Tensor:
        return feature_distance(x, y, network=network)

    compared, drifts = [], []
    for distance in (pixel_distance, in_features):
        base, adapter = distance(drawn.held_out_base, repeated), distance(drawn.held_out_adapter, repeated)
        compared.append(_compared(_over_seeds(base, num_seeds), _over_seeds(adapter, num_seeds)))
        moved = distance(drawn.no_trigger_base, drawn.no_trigger_adapter)
        reseeded = distance(drawn.no_trigger_base, drawn.no_trigger_other_seed)
        drifts.append(_drift(_over_seeds(moved, num_seeds), _over_seeds(reseeded, num_seeds)))
    return StyleScore(
        num_held_out=len(truths.styled),
        num_no_trigger=len(drawn.no_trigger_base) // num_seeds,
        num_seeds=num_seeds,
        pixel=compared[0],
        feature=compared[1],
        frechet=_frechet(drawn, truths=truths, network=network),
        drift_pixel=drifts[0],
        drift_feature=drifts[1],
    )


def _over_seeds(distances: Tensor, num_seeds: int) -> list[float]:
    """Averages each caption's distances over seeds: captions are what the intervals are over."""
    return distances.double().view(num_seeds, -1).mean(0).tolist()


def _compared(base: list[float], adapter: list[float]) -> Compared:
    differences = [after - before for before, after in zip(base, adapter, strict=True)]
    improved = sum(difference < 0 for difference in differences)
    return Compared(
        base=float(np.mean(base)),
        adapter=float(np.mean(adapter)),
        difference=mean_interval(differences),
        share_improved=share_interval(improved, count=len(differences)),
    )


def _drift(moved: list[float], reseeded: list[float]) -> Drift:
    yardstick = mean_interval(reseeded)
    adapter = mean_interval(moved)
    return Drift(adapter, yardstick, ratio=adapter.value / max(yardstick.value, 1e-12))


def _frechet(drawn: Drawn, *, truths: Truths, network: FeatureNet) -> dict[str, float]:
    """Compares sets of one picture for each caption (the first seed's), all of one size."""
    count = len(truths.styled)
    sets = {
        "truth": truths.styled,
        "base": drawn.held_out_base[:count],
        "adapter": drawn.held_out_adapter[:count],
    }
    if truths.sources is not None:
        sets["source"] = truths.sources
    return frechet_distances({name: network.pooled(each) for name, each in sets.items()}, reference="truth")
