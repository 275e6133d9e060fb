from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.data.pictures import dataset, draw, draw_set

from loralab.data import Regularization
from loralab.errors import UserError


def test_bad_values_are_all_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        dataset(
            tmp_path,
            caption_dropout=1.0,
            resolutions=[],
            on_error="ignore",
            max_aspect=0.5,
            repeats={"a*": 0},
            ram_cache_gib=-1,
        )

    for words in (
        "dataset.caption_dropout=1.0 is not in [0, 1)",
        "dataset.resolutions=[] is not a list of pixels",
        "dataset.on_error=ignore is not one of stop, skip",
        "dataset.max_aspect=0.5 is below 1",
        "dataset.repeats[a*]=0 is below 1",
        "dataset.ram_cache_gib=-1 is below 0",
    ):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"trigger_policy": "written"}, "has no effect without dataset.trigger"),
        ({"keep_first": 3}, "have no effect without dataset.shuffle_tags=true"),
        ({"unmasked_weight": 0.1}, "has no effect without dataset.masked_loss"),
        ({"regularization": Regularization(weight=0.5)}, "without dataset.regularization.root"),
        ({"regularization": Regularization(root="x", ratio=0.0)}, "dataset.regularization.ratio=0"),
        ({"trigger": " "}, "dataset.trigger is empty"),
    ],
)
def test_a_setting_without_effect_is_refused(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as caught:
        dataset(tmp_path, **settings)

    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"trigger": "sks", "trigger_policy": "replace"}, "no caption says [trigger]"),
        ({"trigger": "sks", "trigger_policy": "written"}, "dataset.trigger=sks is in no caption"),
        ({"shuffle_tags": True}, "dataset.shuffle_tags=true has no effect"),
        ({"masked_loss": "file"}, "dataset.masked_loss=file has no effect"),
        ({"masked_loss": "alpha"}, "dataset.masked_loss=alpha has no effect"),
        ({"repeats": {"closeup/*": 2}}, "no picture's name matches 'closeup/*'"),
        (
            {"resolutions": [64, 8]},
            "dataset.resolutions=[64, 8]: 8 is below 16, the smallest side of this model",
        ),
        ({"regularization": Regularization(root="gone")}, "dataset.regularization.root=gone is not a folder"),
    ],
)
def test_a_setting_that_these_pictures_leave_without_effect_is_refused(
    tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    root = draw_set(tmp_path / "set")

    with pytest.raises(UserError) as caught:
        dataset(root, **settings).collect(16)

    assert words in str(caught.value)


def make_bad_set(root: Path) -> Path:
    draw_set(root, count=3)
    (root / "corrupt.png").write_bytes((root / "p0.png").read_bytes()[:500])
    (root / "corrupt.txt").write_text("x")
    draw(root / "silent.png", seed=10)
    draw(root / "small.png", seed=11, width=20, height=20, caption="small")
    draw(root / "placed.png", seed=12, caption="a [trigger]")
    (root / "metadata.jsonl").write_text('{"file_name": "gone.png", "text": "x"}')
    return root


def test_all_problems_are_reported_at_once_with_their_paths(tmp_path: Path) -> None:
    root = make_bad_set(tmp_path / "a set")

    with pytest.raises(UserError) as caught:
        dataset(root).collect(16)

    message = str(caught.value)
    assert "5 pictures cannot be used (dataset.on_error=stop)" in message
    for name, reason in (
        ("corrupt.png", "cannot be decoded"),
        ("silent.png", "has no caption"),
        ("small.png", "is too small: 20x20 would be enlarged 3.20 times for 64x64; dataset.max_upscale=1.25"),
        ("placed.png", "its caption says [trigger]"),
        ("gone.png", "is in the manifest but not there"),
    ):
        line = next(line for line in message.splitlines() if name in line)
        assert str(root / name) in line
        assert reason in line


def test_skip_goes_on_without_them_and_says_how_many(tmp_path: Path) -> None:
    collection = dataset(make_bad_set(tmp_path / "set"), on_error="skip").collect(16)

    assert [record.name for record in collection.train] == ["p0.png", "p1.png", "p2.png"]
    assert len(collection.problems) == 5
    assert collection.notes[0] == (
        "pictures: 3 to train on, 0 for validation, 0 for regularisation, 5 left out"
    )
    assert sum("left out: " in note for note in collection.notes) == 5


def test_an_empty_folder_is_an_error_even_when_skipping(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()

    with pytest.raises(UserError, match=r"dataset\.root=.* gives no picture to use"):
        dataset(tmp_path / "set", on_error="skip").collect(16)


def test_a_default_caption_serves_pictures_without_one(tmp_path: Path) -> None:
    draw(tmp_path / "set" / "a.png")

    collection = dataset(tmp_path / "set", caption="a toy", trigger="sks").collect(16)

    assert collection.train[0].prompts == ("sks, a toy",)


def test_equal_pictures_are_reported(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        draw(tmp_path / "set" / name, seed=1, caption=name)

    notes = dataset(tmp_path / "set").collect(16).notes

    assert "dataset.root: 1 pictures are there more than once: a.png = b.png" in notes


def test_flipping_pictures_whose_captions_name_sides_is_remarked(tmp_path: Path) -> None:
    draw(tmp_path / "set" / "a.png", caption="a cup on the left")

    notes = dataset(tmp_path / "set", flip=True).collect(16).notes

    assert any("captions say left or right 1 times" in note for note in notes)


def test_each_resolution_shows_the_pictures_that_are_large_enough(tmp_path: Path) -> None:
    draw(tmp_path / "set" / "large.png", width=128, height=128, seed=1, caption="x")
    draw(tmp_path / "set" / "small.png", width=64, height=64, seed=2, caption="x")

    collection = dataset(tmp_path / "set", resolutions=[64, 128]).collect(16)

    shown = {record.name: [str(bucket) for bucket in record.buckets] for record in collection.train}
    assert shown == {"large.png": ["64x64", "128x128"], "small.png": ["64x64"]}
    assert {str(bucket): count for bucket, count in collection.buckets.items()} == {"64x64": 2, "128x128": 1}


def test_repeats_multiply_by_pattern(tmp_path: Path) -> None:
    draw(tmp_path / "set" / "closeup" / "a.png", seed=1, caption="x")
    draw(tmp_path / "set" / "b.png", seed=2, caption="x")
    (tmp_path / "set" / "metadata.jsonl").write_text(
        '{"file_name": "closeup/a.png", "text": "x", "repeats": 2}'
    )

    collection = dataset(tmp_path / "set", repeats={"closeup/*": 3}).collect(16)

    assert {record.name: record.repeats for record in collection.train} == {"b.png": 1, "closeup/a.png": 6}


def test_regularisation_pictures_get_no_trigger_and_may_not_be_validation_pictures(tmp_path: Path) -> None:
    root = draw_set(tmp_path / "set", count=8)
    others = draw_set(tmp_path / "others", count=12)

    collection = dataset(
        root, trigger="sks", validation_fraction=0.4, regularization=Regularization(root=str(others))
    ).collect(16)

    kept_out = {record.key for record in collection.validation}
    assert kept_out
    assert all(
        record.prompts[0].startswith("sks, ") for record in (*collection.train, *collection.validation)
    )
    assert all(record.prompts[0].startswith("picture") for record in collection.regularization)
    assert not kept_out & {record.key for record in (*collection.train, *collection.regularization)}
    assert len(collection.regularization) == 12 - len(kept_out)


def test_the_validation_split_holds_when_pictures_come_or_are_renamed(tmp_path: Path) -> None:
    before = dataset(draw_set(tmp_path / "set", count=30), validation_fraction=0.2).collect(16)

    draw_set(tmp_path / "set", count=60)
    for path in (tmp_path / "set" / "p1.png", tmp_path / "set" / "p1.txt"):
        path.rename(path.with_stem("renamed"))
    after = dataset(tmp_path / "set", validation_fraction=0.2).collect(16)

    kept_before, kept_after = ({record.key for record in part.validation} for part in (before, after))
    assert kept_before <= kept_after
    assert not kept_after & {record.key for record in before.train}
    assert 6 <= len(kept_after) <= 20


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_neither_side_of_the_split_is_empty(tmp_path: Path, fraction: float) -> None:
    collection = dataset(draw_set(tmp_path / "set", count=2), validation_fraction=fraction).collect(16)

    assert len(collection.train) == len(collection.validation) == 1


def test_equal_pictures_are_never_on_both_sides(tmp_path: Path) -> None:
    for number in range(10):
        for copy in ("a", "b"):
            draw(tmp_path / "set" / f"{number}{copy}.png", seed=number, caption=copy)

    collection = dataset(tmp_path / "set", validation_fraction=0.5).collect(16)

    assert not {r.key for r in collection.train} & {r.key for r in collection.validation}


def test_bad_masks_are_problems(tmp_path: Path) -> None:
    root = draw_set(tmp_path / "set", count=3)
    Image.new("L", (64, 64), 255).save(root / "p0.mask.png")
    Image.new("L", (64, 32), 255).save(root / "p1.mask.png")
    Image.new("L", (64, 64), 0).save(root / "p2.mask.png")

    with pytest.raises(UserError) as caught:
        dataset(root, masked_loss="file").collect(16)

    assert "its mask p1.mask.png has another shape: 64x32" in str(caught.value)
    assert "its mask is black everywhere" in str(caught.value)


def test_a_second_look_opens_no_picture_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = draw_set(tmp_path / "set")
    first = dataset(root).collect(16)
    monkeypatch.setattr(Image, "open", None)

    assert dataset(root).collect(16) == first


def test_a_cache_that_cannot_be_written_does_not_hinder_looking(tmp_path: Path) -> None:
    root = draw_set(tmp_path / "set")
    (tmp_path / "blocked").write_text("a file, not a folder")

    collection = dataset(root, cache_root=tmp_path / "blocked").collect(16)

    assert len(collection.train) == 6


def test_a_validation_root_that_has_every_training_picture_leaves_nothing_to_train_on(tmp_path: Path) -> None:
    root = draw_set(tmp_path / "set")

    with pytest.raises(UserError, match="nothing is left to train on"):
        dataset(root, validation_root=str(root)).collect(16)
