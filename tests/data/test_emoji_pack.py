"""Packing chooses by rule and keeps every pixel that can be seen."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from loralab.data.emoji.pack import choose, pack
from loralab.errors import UserError


def entry(name: str, group: str = "food-fruit", **changes: object) -> dict[str, object]:
    listed = {"name": name.upper(), "short_name": name, "subcategory": group, "image": f"{name}.png"}
    return {**listed, "has_img_google": True, "has_img_twitter": True, **changes}


def archive(path: Path, brand: str, entries: list[dict[str, object]], pixels: np.ndarray) -> Path:
    picture = io.BytesIO()
    Image.fromarray(pixels).save(picture, format="PNG")
    files = {f"package/img/{brand}/64/{listed['image']}": picture.getvalue() for listed in entries}
    files["package/emoji.json"] = json.dumps(entries).encode()
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return path


def test_only_plain_names_of_everyday_things_in_both_sets_are_chosen() -> None:
    entries = [
        entry("pear"),
        entry("fox face", "animal-mammal"),
        entry("green apple"),
        entry("clown face", "face-costume"),
        entry("plum", has_img_twitter=False),
        entry("chef", "person-role"),
        entry("santa", skin_variations={"1F3FB": {}}),
        entry("apricot"),
    ]

    chosen = choose(entries)

    assert [row["name"] for row in chosen] == ["apricot", "fox face", "pear"]


def test_an_atlas_holds_the_pictures_in_the_order_of_the_names(tmp_path: Path) -> None:
    entries = [entry("pear"), entry("fig")]
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 4), np.uint8)
    pixels[..., 3] = np.where(pixels[..., 3] > 128, 255, 0)
    archives = [archive(tmp_path / f"{brand}.tgz", brand, entries, pixels) for brand in ("google", "twitter")]

    count = pack(*archives, folder=tmp_path / "packed")

    atlas = np.asarray(Image.open(tmp_path / "packed" / "noto.png"))
    names = [row["name"] for row in json.loads((tmp_path / "packed" / "names.json").read_text())]
    assert count == 2 and names == ["fig", "pear"]
    assert np.array_equal(atlas[:64, 64:128], pixels * (pixels[..., 3:] > 0))


def test_an_archive_without_the_pictures_is_told(tmp_path: Path) -> None:
    path = archive(tmp_path / "other.tgz", "apple", [entry("pear")], np.zeros((64, 64, 4), np.uint8))

    with pytest.raises(UserError, match=r"other\.tgz holds no package/img/google/64/pear\.png"):
        pack(path, path, folder=tmp_path)
