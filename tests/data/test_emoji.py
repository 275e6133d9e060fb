"""Captions and pictures tell the same story, splits do not overlap, and the looks are what they say."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from PIL import Image

from loralab.data.emoji.atlas import all_names, names, tile
from loralab.data.emoji.concepts import concept, write_folder
from loralab.data.emoji.render import COLOURS, render
from loralab.data.emoji.spec import ATTRIBUTES, STYLES, EmojiSpec, is_seen, variations
from loralab.errors import UserError

CONCEPTS = ("emoji_linocut", "emoji_twemoji")


def test_every_packed_emoji_is_drawn_in_both_sets_and_differently() -> None:
    pictures = {
        picture_set: [np.asarray(tile(name, picture_set=picture_set)) for name in all_names()]
        for picture_set in ("noto", "twemoji")
    }

    covered = [min((picture[..., 3] > 128).mean() for picture in group) for group in pictures.values()]
    differences = [np.abs(a.astype(int) - b).mean() for a, b in zip(*pictures.values(), strict=True)]

    assert min(covered) > 0.05
    assert min(differences) > 1
    assert set(names()) < set(all_names())


def test_no_two_pictures_share_a_caption() -> None:
    every = [
        dataclasses.replace(spec, style=style)
        for name in names()[:20]
        for spec in variations(name)
        for style in STYLES
    ]

    captions = {spec.caption for spec in every}

    assert len(captions) == len(every) == 20 * 8 * 6 * 4 * 2 * 3


def test_a_caption_mentions_what_is_not_at_its_default_and_nothing_else() -> None:
    plain = EmojiSpec(name="fox face")
    full = EmojiSpec(
        name="fox face", background="blue", layout="top", tilt="tilted left", tint="grey", style="linocut"
    )

    assert plain.caption == "fox face"
    assert full.caption == "linocut, small grey fox face, tilted left, top, blue background"


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_every_value_of_an_attribute_gives_another_picture(attribute: str) -> None:
    specs = [EmojiSpec(name="frog face", **{attribute: value}) for value in ATTRIBUTES[attribute]]

    pictures = [render(spec).astype(int) for spec in specs]

    distances = [np.abs(a - b).mean() for a, b in itertools.combinations(pictures, 2)]
    assert min(distances) > 2


def test_the_background_has_its_colour_in_the_corner() -> None:
    corners = {colour: render(EmojiSpec(name="banana", background=colour))[0, 0] for colour in COLOURS}

    assert {colour: tuple(map(int, corner)) for colour, corner in corners.items()} == COLOURS


@pytest.mark.parametrize(
    ("layout", "axis", "sign"), [("left", 1, -1), ("right", 1, 1), ("top", 0, -1), ("bottom", 0, 1)]
)
def test_a_small_emoji_lies_on_the_side_that_its_caption_names(layout: str, axis: int, sign: int) -> None:
    picture = render(EmojiSpec(name="mango", layout=layout)).astype(float)

    drawn = np.abs(picture - 255).sum(-1)
    centre = (drawn.sum(1 - axis) * np.arange(64)).sum() / drawn.sum()

    assert sign * (centre - 31.5) > 10


def test_tilted_left_turns_against_the_clock_and_upside_down_by_half_a_turn() -> None:
    upright, left, over = (
        render(EmojiSpec(name="carrot", tilt=tilt)) for tilt in ("upright", "tilted left", "upside down")
    )

    turned = np.asarray(Image.fromarray(upright).rotate(30, Image.Resampling.BICUBIC, fillcolor="white"))

    assert np.abs(left.astype(int) - turned).mean() < 2
    assert np.abs(over.astype(int) - upright[::-1, ::-1]).mean() < 2


def test_rendering_is_the_same_every_time_and_grey_has_no_colour_left() -> None:
    spec = EmojiSpec(name="parrot", tint="grey", layout="left")

    picture = render(spec)

    assert np.array_equal(picture, render(spec))
    assert picture.shape == (64, 64, 3) and picture.dtype == np.uint8
    assert np.ptp(picture.astype(int), axis=-1).max() == 0


def test_linocut_is_made_of_ink_accent_and_paper() -> None:
    picture = render(EmojiSpec(name="crab", style="linocut")).astype(int)

    inks = np.array([(28, 30, 52), (206, 74, 48), (246, 238, 216)])
    distance = np.abs(picture[:, :, None] - inks).sum(-1).min(-1)

    assert (distance < 12).mean() > 0.75
    assert all((np.abs(picture - ink).sum(-1) < 12).mean() > 0.02 for ink in inks)


def test_about_half_of_the_pairs_are_held_out_and_plain_pictures_never() -> None:
    pairs = [
        EmojiSpec(name=name, **{key: value})
        for name in names()
        for key, values in ATTRIBUTES.items()
        for value in values[1:]
    ]

    share = sum(map(is_seen, pairs)) / len(pairs)

    assert 0.45 < share < 0.55
    assert all(is_seen(EmojiSpec(name=name)) for name in names())


def test_a_picture_with_one_held_out_pair_is_not_seen() -> None:
    name = names()[0]
    unseen = next(
        value for value in ATTRIBUTES["background"] if not is_seen(EmojiSpec(name=name, background=value))
    )

    assert not any(is_seen(spec) for spec in variations(name) if spec.background == unseen)


@pytest.mark.parametrize("concept_name", CONCEPTS)
def test_a_concept_asks_only_for_emoji_that_it_did_not_show(concept_name: str) -> None:
    chosen = concept(concept_name)

    shown, asked = {spec.name for spec in chosen.train}, {spec.name for spec in chosen.held_out}

    assert len(chosen.train) == len(set(chosen.train)) == 70
    assert len(set(chosen.held_out)) == len(chosen.held_out) >= 200
    assert not shown & asked
    assert {spec.style for spec in chosen.train + chosen.held_out} == {chosen.trigger}
    assert all(spec.caption.startswith(f"{chosen.trigger}, ") for spec in chosen.train)


@pytest.mark.parametrize("concept_name", CONCEPTS)
def test_pictures_without_the_trigger_are_noto_and_known_to_the_base(concept_name: str) -> None:
    chosen = concept(concept_name)

    plain = chosen.regularization + chosen.no_trigger

    assert len(chosen.regularization) == 70 and len(chosen.no_trigger) == 64
    assert not set(chosen.regularization) & set(chosen.no_trigger)
    assert all(spec.style == "noto" and is_seen(spec) for spec in plain)


@pytest.mark.parametrize("concept_name", CONCEPTS)
def test_only_the_trigger_tells_a_regularisation_picture_from_a_training_picture(concept_name: str) -> None:
    chosen = concept(concept_name)

    assert [f"{chosen.trigger}, {spec.caption}" for spec in chosen.regularization] == [
        s.caption for s in chosen.train
    ]


def test_a_split_becomes_an_ordinary_folder_of_pictures_and_captions(tmp_path) -> None:
    folder = write_folder("emoji_linocut", "train", root=tmp_path)

    pictures = sorted(folder.glob("*.png"))
    captions = {path.with_suffix(".txt").read_text().strip(): path for path in pictures}

    assert len(pictures) == 70
    spec = concept("emoji_linocut").train[3]
    assert np.array_equal(np.asarray(Image.open(captions[spec.caption])), render(spec))


def test_an_unknown_concept_is_told_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"dataset=emoji_neon.*emoji_linocut"):
        concept("emoji_neon")
