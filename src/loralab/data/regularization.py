"""What keeps the adapter from changing what it should not.

Regularisation pictures are drawn without the trigger word, in micro-batches of their own, `ratio` of all (0.5 by
default, the one to one that other trainers use for class pictures); `weight` multiplies their loss.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Regularization:
    """Pictures, or clips, of what should stay as it is.

    Attributes:
        root: where they are, read by the data set's source; None for none.
        weight: factor of their loss.
        ratio: share of the micro-batches that show them.
    """

    root: str | None = None
    weight: float = 1.0
    ratio: float = 0.5

    def problems(self) -> Iterator[str]:
        """Yields what is wrong with the weight; the ratio is a share as others are."""
        if not (math.isfinite(self.weight) and self.weight > 0):
            yield f"dataset.regularization.weight={self.weight} is not above 0"

    def without_effect(self, *, what: str) -> Iterator[str]:
        """Yields which values have no effect; `what` it is of is named in the message: picture or clip."""
        if self.root is None and self != Regularization():
            yield "dataset.regularization.weight and .ratio have no effect without dataset.regularization.root"
        elif self.root is not None and not self.ratio:
            yield f"dataset.regularization.ratio=0 shows no regularisation {what}; set its root to null instead"
