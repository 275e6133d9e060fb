from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from tests.data.pictures import dataset, draw_set
from tests.data.pooling import PoolingEncoders

from loralab.data import EncodedDataset, encode
from loralab.data.cache import Address
from loralab.data.loader import ResumableLoader
from loralab.data.ram import Ram
from loralab.errors import UserError


class Shelf:
    """Gives 100 numbers (400 bytes) for every address and counts how often."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def read(self, address: Address) -> torch.Tensor:
        self.asked.append(address.key)
        return torch.full((100,), float(address.key))


def address(number: int) -> Address:
    return Address("latents", "f" * 64, str(number))


def test_what_fits_is_read_once_and_shared() -> None:
    ram, shelf = Ram(num_bytes=800), Shelf()

    given = [ram.get(address(number), shelf.read) for number in (1, 2, 1, 2, 1)]

    assert shelf.asked == ["1", "2"]
    assert given[0] is given[2] is given[4]
    assert [tensor[0].item() for tensor in given] == [1, 2, 1, 2, 1]


def test_what_no_longer_fits_is_read_anew_and_replaces_nothing() -> None:
    ram, shelf = Ram(num_bytes=799), Shelf()

    given = [ram.get(address(number), shelf.read)[0].item() for number in (1, 2, 1, 2)]

    assert shelf.asked == ["1", "2", "2"]
    assert given == [1, 2, 1, 2]


def test_without_room_everything_is_read_anew() -> None:
    ram, shelf = Ram(num_bytes=0), Shelf()

    for _ in range(2):
        ram.get(address(1), shelf.read)

    assert shelf.asked == ["1", "1"]


def test_what_is_kept_no_longer_depends_on_what_was_read() -> None:
    ram, read = Ram(num_bytes=400), torch.ones(100)

    ram.get(address(1), lambda _: read)
    read.zero_()

    assert ram.get(address(1), lambda _: read)[0] == 1


def encoded(folder: Path, **settings: float) -> EncodedDataset:
    return encode(dataset(draw_set(folder / "set"), **settings).collect(16), PoolingEncoders())


def two_epochs(encoded: EncodedDataset) -> ResumableLoader:
    return encoded.loader(micro_batch_size=1, num_micro_steps=12, seed=0)


def test_a_small_set_is_read_from_disk_once(tmp_path: Path) -> None:
    data = two_epochs(encoded(tmp_path))
    first = list(data)

    shutil.rmtree(tmp_path / "cache")
    again = list(data)

    for old, new in zip(first, again, strict=True):
        assert torch.equal(old.latents, new.latents)
        assert torch.equal(old.prompt_embeds[0], new.prompt_embeds[0])


def test_a_set_that_is_not_kept_is_read_from_disk_each_time(tmp_path: Path) -> None:
    data = two_epochs(encoded(tmp_path, ram_cache_gib=0))
    list(data)

    shutil.rmtree(tmp_path / "cache")

    with pytest.raises(UserError, match="was lost or damaged while in use"):
        list(data)


def test_equal_pictures_in_several_batches_share_their_memory(tmp_path: Path) -> None:
    batches = list(two_epochs(encoded(tmp_path)))

    assert len({batch.keys[0] for batch in batches}) == 6
    assert len({batch.latents.data_ptr() for batch in batches}) == 6


@pytest.mark.gpu
def test_page_locked_memory_is_counted_as_torch_rounds_it() -> None:
    ram, shelf = Ram(num_bytes=512 + 400, pinned=True), Shelf()

    given = [ram.get(address(number), shelf.read) for number in (1, 2, 1)]

    assert given[0].is_pinned()
    assert given[0] is given[2]
    assert not given[1].is_pinned()
