from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from tests.data.pictures import draw

from loralab.data import FolderSource
from loralab.data.records import Listing
from loralab.errors import UserError


def read(root: Path) -> Listing:
    return FolderSource().read(str(root), key="dataset.root", cache_root=root.parent / "cache")


def reasons(listing: Listing) -> str:
    return "\n".join(map(str, listing.problems))


def test_pictures_of_every_ending_are_found_in_all_folders_by_name(tmp_path: Path) -> None:
    for name in ("b.PNG", "a b/ü.jpg", "a b/c.webp", "d.bmp", "e.tiff", "f.gif", "g.avif", "h.jpeg"):
        draw(tmp_path / name, caption=f"caption of {name}")

    listing = read(tmp_path)

    assert [entry.name for entry in listing.entries] == [
        *("a b/c.webp", "a b/ü.jpg", "b.PNG", "d.bmp", "e.tiff", "f.gif", "g.avif", "h.jpeg"),
    ]
    assert all(entry.caption == f"caption of {entry.name}" for entry in listing.entries)
    assert not listing.problems


def test_captions_may_lie_in_caption_files_and_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    draw(tmp_path / "a.png").with_suffix(".caption").write_bytes(b"\xef\xbb\xbfa caf\xc3\xa9\n")

    assert read(tmp_path).entries[0].caption == "a café"


def test_hidden_files_are_passed_over_and_strange_ones_counted(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", caption="a")
    draw(tmp_path / ".ipynb_checkpoints" / "a.png")
    (tmp_path / "._a.png").write_bytes(b"")
    (tmp_path / "photo.heic").write_bytes(b"")

    listing = read(tmp_path)

    assert [entry.name for entry in listing.entries] == ["a.png"]
    assert listing.notes == ("passed over 1 files that are neither pictures nor captions: 1 .heic",)


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_manifest_gives_captions_weights_repeats_and_masks(tmp_path: Path, kind: str) -> None:
    for name in ("sub/a.png", "sub/m.png", "b.png"):
        draw(tmp_path / name)
    if kind == "jsonl":
        rows = [
            {
                "file_name": "sub/a.png",
                "text": "an a",
                "weight": 0.5,
                "repeats": 3,
                "mask_file_name": "sub/m.png",
            },
            {"file_name": "b.png", "caption": "a b"},
        ]
        (tmp_path / "metadata.jsonl").write_text("\n\n".join(map(json.dumps, rows)), encoding="utf-8")
    else:
        text = "file_name,text,weight,repeats,mask_file_name\nsub/a.png,an a,0.5,3,sub/m.png\nb.png,a b,,,\n"
        (tmp_path / "metadata.csv").write_text(text, encoding="utf-8")

    entries = {entry.name: entry for entry in read(tmp_path).entries}

    first, second = entries["sub/a.png"], entries["b.png"]
    assert (first.caption, first.weight, first.repeats, first.mask_path) == (
        "an a",
        0.5,
        3,
        tmp_path / "sub/m.png",
    )
    assert (second.caption, second.weight, second.repeats, second.mask_path) == ("a b", 1.0, 1, None)


def test_a_manifest_in_a_folder_speaks_about_that_folder(tmp_path: Path) -> None:
    draw(tmp_path / "sub" / "a.png")
    (tmp_path / "sub" / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "an a"}')

    assert read(tmp_path).entries[0].caption == "an a"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"file_name": "a.png", "text": "a", "wieght": 2}', "unknown column wieght"),
        ('{"file_name": "../a.png", "text": "a"}', "../a.png leaves the folder"),
        ('{"file_name": "/etc/a.png", "text": "a"}', "/etc/a.png leaves the folder"),
        ('{"file_name": "C:\\\\a.png", "text": "a"}', "leaves the folder"),
        ('{"text": "a"}', "has no file_name"),
        ('{"file_name": "gone.png", "text": "a"}', "is in the manifest but not there"),
        ('{"file_name": "a.png", "text": "a", "caption": "b"}', "has both text and caption"),
        ('{"file_name": "a.png", "text": 7}', "caption=7 is not text"),
        ('{"file_name": "a.png", "text": "a", "weight": -1}', "weight=-1 is not a number above 0"),
        (
            '{"file_name": "a.png", "text": "a", "repeats": 0}',
            "repeats=0 is not a whole number of at least 1",
        ),
        ('{"file_name": "a.png", "text": "a"', "not a JSON object"),
        ('{"file_name": "a.png", "text": "a"}\n{"file_name": "a.png", "text": "b"}', "a.png is listed twice"),
    ],
)
def test_every_bad_manifest_line_is_a_problem_with_its_place(tmp_path: Path, line: str, reason: str) -> None:
    draw(tmp_path / "a.png")
    (tmp_path / "metadata.jsonl").write_text(line)

    assert reason in reasons(read(tmp_path))


def test_a_manifest_in_another_encoding_is_a_problem(tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    (tmp_path / "metadata.csv").write_bytes("file_name,text\na.png,café\n".encode("latin-1"))

    assert "cannot be read as UTF-8" in reasons(read(tmp_path))


def test_masks_lie_beside_the_picture_or_in_the_masks_folder_and_are_no_pictures(tmp_path: Path) -> None:
    for name in ("a.png", "sub/b.jpg"):
        draw(tmp_path / name, caption="x")
    for mask in (tmp_path / "a.mask.png", tmp_path / "masks" / "sub" / "b.png"):
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (64, 64), 255).save(mask)

    entries = read(tmp_path).entries

    assert [entry.mask_path for entry in entries] == [tmp_path / "a.mask.png", tmp_path / "masks/sub/b.png"]


def test_two_captions_or_one_in_another_encoding_are_problems(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", caption="one").with_suffix(".caption").write_text("two")
    draw(tmp_path / "b.png").with_suffix(".txt").write_bytes(b"caf\xe9")

    listing = read(tmp_path)

    assert "has two captions, a.txt and a.caption" in reasons(listing)
    assert "b.txt is not UTF-8" in reasons(listing)


def test_a_root_that_is_no_folder_is_an_error_that_quotes_the_key(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dataset\.root=.*nowhere is not a folder"):
        read(tmp_path / "nowhere")
