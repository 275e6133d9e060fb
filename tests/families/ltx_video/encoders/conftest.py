"""A tiny LTX pipeline, saved once, and the pipeline that diffusers makes of it, to compare with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from loralab.families.shared.checkpoint import Checkpoint


@pytest.fixture(scope="session")
def ltx_folder(tiny_ltx_folder: Path) -> Path:
    return tiny_ltx_folder


@pytest.fixture(scope="session")
def pipeline(ltx_folder: Path) -> Any:
    from diffusers import LTX2Pipeline

    return LTX2Pipeline.from_pretrained(ltx_folder)


@pytest.fixture
def checkpoint(ltx_folder: Path) -> Checkpoint:
    return Checkpoint(str(ltx_folder), None, pipeline="LTX2Pipeline")
