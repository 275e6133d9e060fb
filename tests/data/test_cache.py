from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from loralab.data.cache import Address, Cache, digest
from loralab.errors import UserError

ADDRESS = Address("latents", "f" * 64, "a" * 64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_tensor_comes_back_as_it_was(tmp_path: Path, dtype: torch.dtype) -> None:
    cache, tensor = Cache(tmp_path), torch.randn(2, 3).to(dtype).t()

    cache.write(ADDRESS, tensor)

    found = cache.read(ADDRESS)
    assert found is not None
    assert found.dtype == dtype
    assert torch.equal(found, tensor)


def test_another_kind_fingerprint_or_key_is_another_tensor(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.write(ADDRESS, torch.ones(1))

    assert cache.read(Address("masks", ADDRESS.fingerprint, ADDRESS.key)) is None
    assert cache.read(Address("latents", "e" * 64, ADDRESS.key)) is None
    assert cache.read(Address("latents", ADDRESS.fingerprint, "b" * 64)) is None


def test_a_fingerprint_that_only_begins_alike_is_not_taken_for_the_same(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.write(ADDRESS, torch.ones(1))

    assert cache.read(Address("latents", "f" * 16 + "0" * 48, ADDRESS.key)) is None


@pytest.mark.parametrize("damage", ["one byte", "cut short", "emptied"])
def test_a_damaged_file_reads_as_missing_and_is_logged(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache = Cache(tmp_path)
    cache.write(ADDRESS, torch.arange(100.0))
    path = cache.path(ADDRESS)
    content = bytearray(path.read_bytes())
    content[-7] ^= 1
    path.write_bytes({"one byte": bytes(content), "cut short": content[:-20], "emptied": b""}[damage])

    with caplog.at_level(logging.WARNING):
        assert cache.read(ADDRESS) is None

    assert str(path) in caplog.text


def test_a_folder_that_cannot_be_written_is_an_error_that_quotes_the_key(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    cache = Cache(tmp_path / "file")

    with pytest.raises(UserError, match=r"dataset\.cache_root=.*file cannot be written"):
        cache.check_writable()
    with pytest.raises(UserError, match=r"dataset\.cache_root=.*file cannot be written"):
        cache.write(ADDRESS, torch.ones(1))


def test_digests_tell_where_parts_end() -> None:
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("a", 1) == digest("a", "1")


def hammer(root: Path) -> None:
    cache = Cache(root)
    for number in range(30):
        address = Address("latents", "f" * 64, digest(number))
        found = cache.read(address)
        assert found is None or torch.equal(found, torch.full((1000,), float(number)))
        cache.write(address, torch.full((1000,), float(number)))


def test_several_writers_of_the_same_files_leave_no_torn_read(tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(hammer, [tmp_path] * 3))

    assert len(list(tmp_path.rglob("*.safetensors"))) == 30
    assert not list(tmp_path.rglob("*.tmp"))
