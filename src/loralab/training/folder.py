"""Where a run keeps its things; the one place that names its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from loralab.errors import UserError


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run."""

    root: Path

    @property
    def config(self) -> Path:
        """The composed configuration, resolved."""
        return self.root / "config.yaml"

    @property
    def overrides(self) -> Path:
        """What was typed, one override per entry."""
        return self.root / "overrides.yaml"

    @property
    def metrics(self) -> Path:
        """One JSON object per line: step and metrics."""
        return self.root / "metrics.jsonl"

    @property
    def result(self) -> Path:
        """What came out, for reports and studies."""
        return self.root / "result.json"

    @property
    def adapter(self) -> Path:
        """The finished adapter."""
        return self.root / "adapter.safetensors"

    @property
    def checkpoint(self) -> Path:
        """The trainer's state at the last saved step."""
        return self.root / "checkpoint.ckpt"

    @property
    def good_checkpoint(self) -> Path:
        """The trainer's state at the last good snapshot, while the newer ones are suspect."""
        return self.root / "checkpoint_good.ckpt"

    @property
    def previews(self) -> Path:
        """Pictures drawn from adapter files."""
        return self.root / "previews"

    def snapshot(self, step: int) -> Path:
        """The adapter at a step."""
        return self.root / "snapshots" / f"step_{step:06d}.safetensors"

    def snapshots(self) -> list[Path]:
        """All kept snapshots, oldest first."""
        return sorted((self.root / "snapshots").glob("step_*.safetensors"))

    def resume_point(self) -> Path | None:
        """The checkpoint to continue from; None before the first save."""
        if not self.config.is_file():
            raise UserError(
                f"run.resume={self.root}: no run lives there (config.yaml is missing). Give the folder of a run."
            )
        return self.checkpoint if self.checkpoint.is_file() else None
