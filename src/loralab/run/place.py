"""What a trial that trains beside others has from them: the base, the pictures, and its slot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from loralab.packed import Seat, SharedBatches
from loralab.planning import Decision
from loralab.training.interrupt import Interrupt

if TYPE_CHECKING:
    from loralab.run.training import Encoded


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a trial trains beside others on one base.

    Attributes:
        seat: its slot of the base.
        width: slots that there are.
        batches: what it shares with trials of its seed.
        interrupt: ends it at its next step.
        encoded: pictures and prompts, the same for all.
        decision: how the base is held.
    """

    seat: Seat
    width: int
    batches: SharedBatches
    interrupt: Interrupt
    encoded: Encoded
    decision: Decision

    def stop(self) -> None:
        """Asks the trial to save a checkpoint at its next step and to end."""
        self.interrupt.received = self.interrupt.received or "SIGTERM"
