import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.adapter.twins import KLEIN, METADATA

from loralab.adapter import AdapterMetadata, export_adapter, read_metadata
from loralab.errors import UserError


def write(path: Path, header: dict[str, str]) -> Path:
    save_file({"x.lora_A.weight": torch.ones(1, 1)}, path, header)
    return path


@pytest.mark.parametrize("changed", [{}, {"revision": "main", "trigger": None}, {"alpha": 1 / 3}])
def test_metadata_survive_the_header(changed: dict):
    metadata = dataclasses.replace(METADATA, **changed)

    assert AdapterMetadata.from_header(metadata.to_header()) == metadata


def test_metadata_are_read_from_an_exported_file(tmp_path: Path):
    path = export_adapter(
        KLEIN.trained(), tmp_path / "a.safetensors", prefix="transformer.", metadata=METADATA
    )

    assert read_metadata(path) == METADATA


@pytest.mark.parametrize("header", [{}, {"format": "pt", "ss_network_dim": "16"}])
def test_a_file_of_another_tool_has_no_metadata_of_ours(tmp_path: Path, header: dict):
    assert read_metadata(write(tmp_path / "a.safetensors", header)) is None


def test_a_file_of_a_newer_format_asks_for_an_update(tmp_path: Path):
    path = write(tmp_path / "a.safetensors", METADATA.to_header() | {"loralab.format_version": "2"})

    with pytest.raises(UserError, match=r"a\.safetensors.*format_version is 2.*update loralab"):
        read_metadata(path)


@pytest.mark.parametrize(("key", "value"), [("loralab.rank", "many"), ("loralab.family", None)])
def test_a_damaged_header_is_said_to_be_damaged(tmp_path: Path, key: str, value: str | None):
    header = METADATA.to_header() | {key: value or ""}
    if value is None:
        del header[key]

    with pytest.raises(UserError, match="damaged"):
        read_metadata(write(tmp_path / "a.safetensors", header))


def test_entries_that_this_version_does_not_know_are_passed_over():
    header = METADATA.to_header() | {"loralab.mood": "cheerful", "format": "pt"}

    assert AdapterMetadata.from_header(header) == METADATA
