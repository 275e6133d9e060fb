"""What may be set and searched for each model, and the source of every bound (`sweeps/<model>.yaml`)."""

from loralab.ranges.read import SAFE, SWEEPS, Sweep, read_ranges, read_sweep
from loralab.ranges.safe import Bound, SafeRange, advice, applicable, outside, widened

__all__ = [
    "SAFE",
    "SWEEPS",
    "Bound",
    "SafeRange",
    "Sweep",
    "advice",
    "applicable",
    "outside",
    "read_ranges",
    "read_sweep",
    "widened",
]
