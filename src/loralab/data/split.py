"""Which pictures are kept out of training: decided by each picture's content alone.

A picture stays on its side when others come or go, and equal pictures are never on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence

from loralab.data.chance import chance
from loralab.data.shown import KeyedT


def split_validation(
    records: Sequence[KeyedT], *, fraction: float
) -> tuple[tuple[KeyedT, ...], tuple[KeyedT, ...]]:
    """Gives (train, validation); with a fraction above 0 and two different pictures, neither is empty."""
    keys = sorted({record.key for record in records}, key=lambda key: chance("validation", key))
    kept_out = {key for key in keys if chance("validation", key) < fraction}
    if fraction > 0 and len(keys) > 1:
        kept_out = (kept_out | {keys[0]}) - {keys[-1]}
    train = tuple(record for record in records if record.key not in kept_out)
    return train, tuple(record for record in records if record.key in kept_out)
