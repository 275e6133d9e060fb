"""Trials that train at once on one resident base: each is an ordinary run, and only the network's passes are shared."""

from loralab.packed.base import PackedBase
from loralab.packed.batches import SharedBatches
from loralab.packed.meeting import Meeting, PackFailedError
from loralab.packed.seat import Differentiation, Seat

__all__ = ["Differentiation", "Meeting", "PackFailedError", "PackedBase", "Seat", "SharedBatches"]
