"""What a sweep of a few-step model is compared by."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("evaluation=none", "fewstep.frechet is measured with evaluation=fewstep only"),
        ("study.objectives={validation_loss: minimize}", "validation_loss is no score of a few-step model"),
    ],
)
def test_a_sweep_of_turbo_that_measures_no_few_steps_is_refused_at_once(
    typed: str, message: str, tmp_path: Path
) -> None:
    command = ["train.py", "-m", "sweep=zimage_turbo", "model=zimage_turbo", f"dataset.root={tmp_path}"]
    storage = f"study.storage=sqlite:///{tmp_path / 'study.db'}"

    done = subprocess.run(
        [sys.executable, *command, storage, typed], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert message in done.stdout + done.stderr
    assert not (tmp_path / "study.db").exists()
