"""How much smaller and slower the references of a control adapter (IC-LoRA) are than its targets, in its header.

Readers scale the positions of a reference by it, so that an adapter without it, or with another's, looks for its
control in the wrong places. The vendor writes `reference_downscale_factor` and `reference_spatial_scale_factor`, which
are the same, and `reference_temporal_scale_factor`, all three only where they are not 1 (Lightricks/LTX-2,
ltx_trainer/training_strategies/flexible.py), and reads an absent one as 1. We always write all three.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from loralab.errors import UserError

SPATIAL = ("reference_downscale_factor", "reference_spatial_scale_factor")
TEMPORAL = ("reference_temporal_scale_factor",)


@dataclass(frozen=True)
class ReferenceFactors:
    """Target over reference: of the sides, and of the frame rates."""

    spatial: int = 1
    temporal: int = 1

    def to_header(self) -> dict[str, str]:
        """Gives the header entries that the vendor's tools and ComfyUI's read."""
        return dict.fromkeys(SPATIAL, str(self.spatial)) | dict.fromkeys(TEMPORAL, str(self.temporal))

    def __str__(self) -> str:
        return f"{self.spatial} (sides) and {self.temporal} (frame rate)"


def reference_factors(path: str, header: Mapping[str, str]) -> ReferenceFactors | None:
    """Reads the factors of an adapter file; None if it says nothing, as those do that take no reference.

    Raises:
        UserError: if an entry is no whole number of at least 1, or two disagree.
    """
    if not any(key in header for key in SPATIAL + TEMPORAL):
        return None
    return ReferenceFactors(_factor(path, header, SPATIAL), _factor(path, header, TEMPORAL))


def require_equal_factors(headers: Mapping[str, Mapping[str, str]]) -> ReferenceFactors:
    """Gives the factors that all adapters used together have, by the headers of their files; 1 where none says any.

    Raises:
        UserError: if two have different ones: one video of references cannot lie right for both.
    """
    read = {path: reference_factors(path, header) for path, header in headers.items()}
    said = {path: factors for path, factors in read.items() if factors is not None}
    if len(set(said.values())) > 1:
        (first, one), (second, other) = _different(said)
        raise UserError(
            f"adapter={first} was trained with references smaller by {one}, adapter={second} by {other}; they cannot "
            "be used together, since a reference lies right for one of them only. Use one at a time."
        )
    return next(iter(said.values()), ReferenceFactors())


def _different(
    said: Mapping[str, ReferenceFactors],
) -> tuple[tuple[str, ReferenceFactors], tuple[str, ReferenceFactors]]:
    first = next(iter(said.items()))
    return first, next(item for item in said.items() if item[1] != first[1])


def _factor(path: str, header: Mapping[str, str], keys: tuple[str, ...]) -> int:
    values = dict(_values(path, header, keys))
    if len(set(values.values())) > 1:
        told = ", ".join(f"{key}={value}" for key, value in values.items())
        raise UserError(
            f"adapter={path} cannot be used: its header contradicts itself ({told}). Export it again."
        )
    return next(iter(values.values()), 1)


def _values(path: str, header: Mapping[str, str], keys: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    for key in keys:
        if (value := header.get(key)) is None:
            continue
        try:
            number = float(value)
        except ValueError:
            number = 0.0
        if number < 1 or number != int(number):
            raise UserError(
                f"adapter={path} cannot be used: its header says {key}={value}, which is no whole number of at least"
                " 1. Mend the header, or export it again."
            )
        yield key, int(number)
