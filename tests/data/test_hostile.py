"""Data sets that somebody else has made, with what reaches out of them or cannot be read."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from loralab.data.folder import FolderSource
from loralab.data.hub import _stored
from loralab.data.images import LARGEST_PIXELS, load_picture
from loralab.data.inspect import Inspector
from loralab.data.manifest import read_manifest
from loralab.data.records import Entry, Listing, Problem, UnusableError
from loralab.data.video.jsonl import JsonlSource

FOUND_BY_FUZZING = base64.b64decode(
    "AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUIAAADrbWV0YQAAAAAAAAAhaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAA"
    "AAAAAAAOcGl0bQAAAAAAAQAAAB5pbG9jAAAAAEQAAAEAAQAAAAEAAAETAAAANAAAAChpaW5mAAAAAAABAAAAGmluZmUCAAAAAAEA"
    "AGF2MDJDb2xvcgAAAABqaXBHSUY4N2EJAAcAggAAE3JwAAAAS2lwY28A7BM2yQDLqtUftB87BsElNls2W6RbgICApFukyTbJ7BPs"
    "AAAALAAAAAAJAAcIIgAB3X+4IMIE7HddZUZ+mggcODCAwTAHBShcuHDY1g=="
)
"""An AVIF file for which Pillow raises a RuntimeError (bench/fuzz.py)."""


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), 90, dtype=np.uint8)).save(path)
    return path


def read(root: Path, **settings: str) -> Listing:
    return FolderSource(**settings).read(str(root), key="dataset.root", cache_root=root / "none")


def test_links_out_of_a_folder_are_problems_and_nothing_of_them_is_read(tmp_path: Path) -> None:
    secret = picture(tmp_path / "private/secret.png")
    (tmp_path / "private/id").write_text("a private key")
    root = picture(tmp_path / "set/a.png").parent
    (root / "a.txt").symlink_to(tmp_path / "private/id")
    (root / "b.png").symlink_to(secret)
    (root / "c").symlink_to(tmp_path / "private", target_is_directory=True)
    picture(root / "d.png")
    (root / "d.txt").write_text("mine")
    (root / "e.png").symlink_to(root / "d.png")

    listing = read(root)

    assert [(entry.name, entry.caption) for entry in listing.entries] == [("d.png", "mine"), ("e.png", None)]
    assert {Path(problem.where).name for problem in listing.problems} >= {
        "a.png",
        "a.txt",
        "b.png",
        "secret.png",
    }
    assert "private key" not in str(listing)
    assert "a private key" in str(read(root, links="follow"))


def test_the_hubs_own_cache_is_made_of_links_and_no_way_out(tmp_path: Path) -> None:
    blob = picture(tmp_path / "datasets--x/blobs/0123.png")
    root = tmp_path / "datasets--x/snapshots/abc"
    root.mkdir(parents=True)
    (root / "a.png").symlink_to(blob)

    listing = read(root)

    assert [entry.name for entry in listing.entries] == ["a.png"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../a.png", "leaves the folder"), ("/etc/a.png", "leaves the folder"), ("C:\\a.png", "leaves the folder"),
        (".", "not the name of a file"), ("a\0.png", "not the name of a file"),
        ("\ud800.png", "not the name of a file"),
        ("a" * 300, "more than 255 bytes"),
    ],
)  # fmt: skip
def test_a_manifest_names_files_of_its_folder_only(tmp_path: Path, name: str, reason: str) -> None:
    manifest = tmp_path / "metadata.jsonl"
    manifest.write_text(json.dumps({"file_name": name, "text": "x"}))

    (problem,) = read_manifest(manifest).problems

    assert reason in problem.reason


@pytest.mark.parametrize("line", ["[" * 100_000, "9" * 5_000, '{"file_name": "a.png", "text": "\\ud800"}'])
def test_a_line_that_no_reader_takes_is_a_problem_with_its_number(tmp_path: Path, line: str) -> None:
    manifest = tmp_path / "metadata.jsonl"
    manifest.write_text(line)

    (problem,) = read_manifest(manifest).problems

    assert problem.where.endswith("line 1")


def test_a_clip_list_follows_no_link_out(tmp_path: Path) -> None:
    (tmp_path / "secret.mp4").touch()
    root = tmp_path / "set"
    root.mkdir()
    (root / "a.mp4").symlink_to(tmp_path / "secret.mp4")
    (root / "clips.jsonl").write_text('{"video": "a.mp4"}')

    (problem,) = JsonlSource().read(str(root / "clips.jsonl"), key="dataset.root").problems

    assert "is a link out of" in problem.reason


@pytest.mark.parametrize("place", ["/etc/hostname", "http://127.0.0.1/a.png", "file:///etc/hostname"])
def test_a_row_of_a_downloaded_table_opens_no_other_file_and_no_address(tmp_path: Path, place: str) -> None:
    with pytest.raises(UnusableError, match="neither a file of the data set nor on the hub"):
        _stored({"bytes": None, "path": place}, folder=tmp_path, root="owner/name")


def test_a_few_bytes_that_claim_a_huge_picture_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "bomb.bmp"
    path.write_bytes(
        b"BM"
        + struct.pack("<IHHI", 54, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, 9000, 9000, 1, 24, 0, 0, 0, 0, 0, 0)
    )

    with pytest.raises(OSError, match=f"9000x9000 is more than {LARGEST_PIXELS} pixels"):
        load_picture(path)


def test_what_a_reader_raises_for_a_damaged_picture_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    path.write_bytes(FOUND_BY_FUZZING)
    inspector = Inspector(default_caption="x", masked_loss="none", min_side=1, cache_root=tmp_path / "cache")

    records, problems = inspector.inspect([Entry(path=path, name="a", caption=None)])

    assert (records, [type(problem) for problem in problems]) == ([], [Problem])
