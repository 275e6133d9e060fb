from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.data.pictures import dataset, draw, draw_set

from loralab.data import HubSource
from loralab.errors import UserError


@pytest.fixture(autouse=True)
def own_datasets_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    datasets.disable_progress_bars()


def save_parquet(folder: Path, columns: dict[str, list[Any]], images: tuple[str, ...] = ("image",)) -> Path:
    import datasets

    features = datasets.Features(
        {
            name: datasets.Image() if name in images else datasets.Value(kind_of(column))
            for name, column in columns.items()
        }
    )
    folder.mkdir()
    datasets.Dataset.from_dict(columns, features=features).to_parquet(folder / "train.parquet")
    return folder


def kind_of(column: list[Any]) -> str:
    return {str: "string", int: "int64", float: "float64"}[type(column[0])]


def pictures(root: Path, count: int = 3) -> list[dict[str, Any]]:
    return [{"bytes": draw(root / f"{n}.png", seed=n).read_bytes(), "path": None} for n in range(count)]


def test_a_local_parquet_set_is_read_with_columns_by_name(tmp_path: Path) -> None:
    columns = {
        "picture": pictures(tmp_path / "p"),
        "said": ["a", " b\n", "c"],
        "times": [1, 2, 3],
        "w": [1.0, 0.5, 2.0],
    }
    root = save_parquet(tmp_path / "set", columns, ("picture",))
    source = HubSource(
        image_column="picture", caption_column="said", repeats_column="times", weight_column="w"
    )

    collection = dataset(root, source=source).collect(16)

    assert [(r.caption, r.repeats, r.weight) for r in collection.train] == [
        ("a", 1, 1.0),
        ("b", 2, 0.5),
        ("c", 3, 2.0),
    ]
    stored = [record.path for record in collection.train]
    assert all(path.is_relative_to(tmp_path / "cache" / "hub") and path.suffix == ".png" for path in stored)
    assert [path.read_bytes() for path in stored] == [cell["bytes"] for cell in columns["picture"]]


def test_a_local_picture_folder_is_read(tmp_path: Path) -> None:
    root = draw_set(tmp_path / "set", count=2)
    for path in root.glob("*.txt"):
        path.unlink()
    rows = ('{"file_name": "p0.png", "text": "zero"}', '{"file_name": "p1.png", "text": "one"}')
    (root / "metadata.jsonl").write_text("\n".join(rows))

    collection = dataset(root, source=HubSource()).collect(16)

    assert [record.caption for record in collection.train] == ["zero", "one"]


def test_masks_and_splits_are_taken(tmp_path: Path) -> None:
    cells = pictures(tmp_path / "p")
    root = save_parquet(
        tmp_path / "set", {"image": cells, "mask": cells, "text": ["a", "b", "c"]}, ("image", "mask")
    )

    collection = dataset(
        root, source=HubSource(split="train[:2]", mask_column="mask"), masked_loss="file"
    ).collect(16)

    assert [record.caption for record in collection.train] == ["a", "b"]
    assert all(record.mask_path is not None for record in collection.train)


def test_broken_rows_are_problems_with_their_number(tmp_path: Path) -> None:
    cells = [*pictures(tmp_path / "p", 2), {"bytes": b"no picture", "path": None}, None]
    root = save_parquet(tmp_path / "set", {"image": cells, "text": ["a", "", "c", "d"]})

    with pytest.raises(UserError) as caught:
        dataset(root, source=HubSource()).collect(16)

    for words in (
        "row 00000001",
        "has no caption",
        "row 00000002",
        "cannot be decoded",
        "row 3: has no picture",
    ):
        assert words in str(caught.value)


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    root = save_parquet(tmp_path / "set", {"image": pictures(tmp_path / "p"), "label": ["a", "b", "c"]})

    with pytest.raises(
        UserError, match=r"dataset\.source\.caption_column=text is not a column of .*; it has image, label"
    ):
        dataset(root, source=HubSource()).collect(16)


def test_a_cache_that_cannot_be_written_is_one_error_and_no_problem_of_every_row(tmp_path: Path) -> None:
    root = save_parquet(tmp_path / "set", {"image": pictures(tmp_path / "p"), "text": ["a", "b", "c"]})
    (tmp_path / "file").write_text("not a folder")

    with pytest.raises(UserError, match=r"^dataset\.cache_root: .* cannot be written"):
        dataset(root, source=HubSource(), cache_root=tmp_path / "file").collect(16)


def test_a_set_that_cannot_be_reached_is_an_error_that_quotes_the_key(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dataset\.root=nobody/nothing \(split train\) cannot be loaded"):
        HubSource().read("nobody/nothing", key="dataset.root", cache_root=tmp_path)
