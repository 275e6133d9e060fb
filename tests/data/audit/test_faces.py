"""How much of a person a photo has room for, by the face that is found in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from tests.data.audit.portraits import portrait
from tests.data.pictures import dataset, draw_set

from loralab.data.audit import faces
from loralab.data.audit.faces import Face, face_in, faces_of


@pytest.mark.parametrize(
    ("height", "framing", "heads"), [(600, "close_up", 1.5), (1400, "medium", 4.0), (2680, "full_body", 8.0)]
)
def test_a_photo_is_framed_by_the_room_below_its_face(height: int, framing: str, heads: float) -> None:
    face = face_in(portrait(height=height))

    assert face is not None
    assert face.framing == framing
    assert face.visible_heads == pytest.approx(heads, rel=0.1)


def test_a_small_face_is_found_at_the_larger_size() -> None:
    wide = Image.new("RGB", (4600, 4600), (128, 128, 128))  # the face is 31 pixels high of 640, 62 of 1280
    small = portrait().resize((256, 300))
    wide.paste(small, (2000, 200))

    face = face_in(wide)

    assert face is not None
    assert face.framing == "full_body"


def test_no_face_is_found_where_none_looks_forward() -> None:
    assert face_in(portrait().rotate(180)) is None


def test_what_was_found_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = draw_set(tmp_path / "p", count=2)
    portrait().save(folder / "p1.png")
    records = dataset(folder).collect(16).train
    first = faces_of(records, cache_root=tmp_path / "cache")
    monkeypatch.setattr(faces, "face_in", lambda picture: pytest.fail("looked again"))

    assert faces_of(records, cache_root=tmp_path / "cache") == first
    assert first[0] is None
    assert isinstance(first[1], Face)
