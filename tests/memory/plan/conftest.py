"""What a machine without a GPU can see of one: torch's answers about the card are given."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from bench.configs import save_configs


@pytest.fixture(scope="module")
def klein(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_configs("flux2_klein9b", tmp_path_factory.mktemp("klein"))


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets torch speak of a card with so much free memory."""

    def present(name: str, *, free_gib: float, capability: tuple[int, int]) -> None:
        size = SimpleNamespace(total_memory=24 * 2**30)
        answers = {
            "get_device_name": name, "get_device_properties": size, "get_device_capability": capability,
            "is_bf16_supported": True, "memory_reserved": 0, "memory_allocated": 0,
            "mem_get_info": (int(free_gib * 2**30), size.total_memory),
        }  # fmt: skip
        for key, answer in answers.items():
            monkeypatch.setattr(torch.cuda, key, lambda *_, answer=answer: answer)

    return present
