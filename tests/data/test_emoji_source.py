from __future__ import annotations

from pathlib import Path

import pytest
from tests.data.pictures import dataset

from loralab.data import EmojiSource, Regularization
from loralab.errors import UserError


def test_a_concept_is_a_data_set_like_any_other(tmp_path: Path) -> None:
    collection = dataset(
        Path("emoji_linocut/train"),
        cache_root=tmp_path,
        source=EmojiSource(),
        trigger="linocut",
        trigger_policy="written",
        regularization=Regularization(root="emoji_linocut/regularization"),
    ).collect(16)

    assert len(collection.train) == len({record.key for record in collection.train}) == 70
    assert all("linocut" in record.prompts[0] for record in collection.train)
    assert collection.regularization
    assert not any("linocut" in record.prompts[0] for record in collection.regularization)
    assert {str(bucket) for bucket in collection.buckets} == {"64x64"}


@pytest.mark.parametrize("root", ["emoji_linocut/no_such_split", "emoji_linocut", "no_such_concept/train"])
def test_what_there_is_not_is_an_error_that_names_it(tmp_path: Path, root: str) -> None:
    with pytest.raises(UserError, match=root.split("/")[0]):
        EmojiSource().read(root, key="dataset.root", cache_root=tmp_path)
