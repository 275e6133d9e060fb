"""Fixtures that several test folders share: seeds, and tiny real pipelines, saved once per session."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = (
    "1"  # read when huggingface_hub is imported, so it stands before every other import
)

import signal
from pathlib import Path

import pytest
import torch
from tests.tiny import save_klein, save_zimage
from tests.tiny_ltx_encoders import save_ltx_encoders

torch.set_num_threads(1)
if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # as in a shell's background job: programs would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Gives every test the same random numbers, whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def tiny_klein_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that `Flux2KleinPipeline.from_pretrained` loads: 2 double and 3 single blocks."""
    return save_klein(tmp_path_factory.mktemp("klein"))


@pytest.fixture(scope="session")
def tiny_ltx_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that `LTX2Pipeline.from_pretrained` loads: one block, both VAEs, Gemma and connectors."""
    return save_ltx_encoders(tmp_path_factory.mktemp("ltx"))


@pytest.fixture(scope="session")
def tiny_zimage_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that `ZImagePipeline.from_pretrained` loads: 2 blocks and one of each refiner."""
    return save_zimage(tmp_path_factory.mktemp("zimage"))
