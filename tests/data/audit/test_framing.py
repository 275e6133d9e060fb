"""How much of a person pictures show: said beside them or in a manifest, counted where a recipe asks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.data.audit.portraits import portrait
from tests.data.pictures import dataset, draw_set

from loralab.data.audit import framing as framing_module
from loralab.data.audit.framing import framing_findings
from loralab.errors import UserError

WANTED = {"close_up": (0.4, 0.5), "medium": (0.3, 0.4), "full_body": (0.1, 0.2)}


def framed(folder: Path, *framings: str) -> Path:
    draw_set(folder, count=len(framings))
    for number, framing in enumerate(framings):
        if framing:
            (folder / f"p{number}.framing").write_text(framing + "\n")
    return folder


def test_framing_is_read_from_files_beside_and_from_a_manifest_which_goes_first(tmp_path: Path) -> None:
    folder = framed(tmp_path / "p", "Close-up", "full body", "medium", "")
    line = {"file_name": "p2.png", "text": "picture 2", "framing": "none"}
    (folder / "metadata.jsonl").write_text(json.dumps(line) + "\n")

    collection = dataset(folder).collect(16)

    assert [record.framing for record in collection.train] == ["close_up", "full_body", "none", None]
    assert not any("passed over" in note for note in collection.notes)


def test_a_framing_that_does_not_exist_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"framing='portrait' is not one of close_up, medium, full_body, none"
    ):
        dataset(framed(tmp_path / "p", "portrait", "medium")).collect(16)


@pytest.mark.parametrize(
    ("framings", "kinds"),
    [
        (["close_up"] * 9 + ["medium"] * 8 + ["full_body"] * 3, []),
        (["close_up"] * 10, ["framing close_up", "framing medium", "framing full_body"]),
        (["close_up"] * 4 + ["medium"] * 4 + ["full_body"] * 2 + ["none"] * 9, []),
        (["", "none"], ["framing unknown"]),
    ],
)
def test_shares_are_of_the_pictures_with_people(
    framings: list[str], kinds: list[str], tmp_path: Path
) -> None:
    records = dataset(framed(tmp_path / "p", *framings)).collect(16).train

    assert [finding.kind for finding in framing_findings(records, WANTED, cache_root=tmp_path)] == kinds
    assert list(framing_findings(records, {}, cache_root=tmp_path)) == []


def test_who_says_nothing_goes_by_the_face_and_what_is_said_goes_first(tmp_path: Path) -> None:
    folder = framed(tmp_path / "p", "", "medium", "")
    for name in ("p0", "p1"):
        portrait().save(folder / f"{name}.png")
    records = dataset(folder).collect(16).train

    by_face, unknown, *shares = framing_findings(records, WANTED, cache_root=tmp_path)

    assert [(flag.name, flag.remark) for flag in by_face.flagged] == [
        ("p0.png", "close_up: room for 1.5 heads")
    ]
    assert by_face.message.startswith("1 of 3 say nothing and go by their largest face, which can be wrong")
    assert [flag.name for flag in unknown.flagged] == ["p2.png"]
    assert "pip install" not in unknown.message
    assert [(each.kind, [flag.name for flag in each.flagged]) for each in shares] == [
        ("framing medium", ["p1.png"]),
        ("framing full_body", []),
    ]


def test_without_a_detector_the_way_to_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing_module, "has_detector", lambda: False)
    folder = framed(tmp_path / "p", "")
    portrait().save(folder / "p0.png")

    (unknown,) = framing_findings(dataset(folder).collect(16).train, WANTED, cache_root=tmp_path)

    assert unknown.kind == "framing unknown"
    assert "pip install 'loralab[framing]' finds faces" in unknown.message
