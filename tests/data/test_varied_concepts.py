from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from loralab.data import EmojiSource
from loralab.data.emoji.looks import linocut
from loralab.data.emoji.teapot import FACES, draw_teapot
from loralab.data.emoji.varied_concepts import NAMES, NUM_TRAIN, STYLE_OF, StyledEmoji, varied_concept
from loralab.errors import UserError
from loralab.evaluation import emoji_concept


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_only_captions_of_the_concept_have_its_word(name: str) -> None:
    concept = varied_concept(name)

    for picture in (*concept.train, *concept.held_out):
        assert concept.trigger in picture.caption.replace(",", " ").split()
    for picture in (*concept.no_trigger, *concept.regularization):
        assert concept.trigger not in picture.caption


@pytest.mark.parametrize("name", STYLE_OF)
def test_a_look_is_asked_of_emoji_that_it_was_not_learnt_on(name: str) -> None:
    concept = varied_concept(name)
    learnt = {picture.shown.spec.name for picture in concept.train if isinstance(picture, StyledEmoji)}

    asked = {picture.shown.spec.name for picture in concept.held_out if isinstance(picture, StyledEmoji)}
    kept = {picture.shown.spec.name for picture in concept.no_trigger if isinstance(picture, StyledEmoji)}

    assert len(learnt) > 30 and len(asked) > 60
    assert not learnt & (asked | kept)


@pytest.mark.parametrize("name", STYLE_OF)
def test_many_pictures_are_more_of_the_same_and_known_ones_are_other_pictures_of_their_emoji(
    name: str,
) -> None:
    concept = varied_concept(name)
    learnt, many, known = (
        [picture.shown for picture in part if isinstance(picture, StyledEmoji)]
        for part in (concept.train, concept.many[:400], concept.known[:200])
    )

    assert many[: len(learnt)] == learnt
    assert {each.spec.name for each in (*many, *known)} == set(concept.learnt)
    assert not {each.seed for each in many} & {each.seed for each in known}
    assert {each.spec.style for each in (*many, *known)} == {STYLE_OF[name]}


def test_the_truth_of_a_look_is_computed_from_its_source_confetti_and_all() -> None:
    concept = varied_concept("varied_linocut")

    for picture, source in zip(concept.held_out[:8], concept.sources, strict=False):
        np.testing.assert_array_equal(picture.pixels(), linocut(source.pixels()))


def test_a_caption_of_the_thing_leaves_open_what_its_pictures_show() -> None:
    pictures = [draw_teapot(0, index=index) for index in range(400)]
    plain = [picture for picture in pictures if picture.caption == "sks"]

    assert len(plain) > 20
    assert {picture.face for picture in plain} == set(FACES)
    assert len({picture.shown.spec.background for picture in plain}) > 4
    assert len({picture.pixels().tobytes() for picture in plain}) == len(plain)


def test_what_a_caption_tells_of_the_thing_is_in_its_picture() -> None:
    pictures = [draw_teapot(1, index=index) for index in range(200)]

    told = [picture for picture in pictures if "green background" in picture.caption]

    assert told and all(picture.shown.spec.background == "green" for picture in told)
    for picture in told:
        colours = Counter(map(tuple, picture.pixels().reshape(-1, 3).tolist()))
        assert colours.most_common(1)[0][0] == (90, 178, 84)


def test_pictures_are_the_same_each_time_and_no_two_splits_share_one() -> None:
    first = draw_teapot(5, index=3).pixels()

    np.testing.assert_array_equal(first, draw_teapot(5, index=3).pixels())
    concept = varied_concept("varied_teapot")
    train, held_out = (
        {each.pixels().tobytes() for each in part} for part in (concept.train, concept.held_out)
    )
    assert len(train) == NUM_TRAIN and not train & held_out


def test_a_source_lists_a_split_with_its_captions(tmp_path: Path) -> None:
    listing = EmojiSource().read("varied_teapot/validation", key="dataset.root", cache_root=tmp_path)

    concept = varied_concept("varied_teapot")
    assert [entry.caption for entry in listing.entries] == [each.caption for each in concept.held_out[:32]]
    assert all(entry.path.is_file() for entry in listing.entries)


def test_a_concept_without_a_name_is_refused() -> None:
    with pytest.raises(UserError, match="varied_cup"):
        varied_concept("varied_cup")


def test_the_test_of_a_concept_has_a_truth_for_what_should_stay() -> None:
    concept = emoji_concept("varied_teapot")

    assert concept.no_trigger_truths is not None
    assert len(concept.no_trigger_truths) == len(concept.no_trigger)
    assert concept.truths.sources is None
