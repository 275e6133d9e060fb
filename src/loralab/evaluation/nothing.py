"""No evaluation: the adapter file is all that is left of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from loralab.denoiser import Model


@dataclass(frozen=True)
class NoEvaluation:
    """Draws and measures nothing, whatever the model draws; the three parts are as in `Evaluation`, always None."""

    previews: None = None
    style: None = None
    fewstep: None = None

    def require_drawable(self, model: Model) -> None:
        """Refuses nothing."""

    def run(self, model: Model, **_: Any) -> dict[str, Any]:
        """Gives nothing about an adapter of pictures."""
        return {}

    def run_clips(self, model: Model, **_: Any) -> dict[str, Any]:
        """Gives nothing about an adapter of clips."""
        return {}
