"""Varied pictures are functions of their seed, show nothing that is held out, and captions leave half untold."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from loralab.data.emoji.render import COLOURS, render
from loralab.data.emoji.spec import EmojiSpec, is_seen
from loralab.data.emoji.specks import strewn
from loralab.data.emoji.varied import VariedEmoji, draw_varied, render_varied

COUNT = 2000


def many() -> list[VariedEmoji]:
    return [draw_varied(0, index=index) for index in range(COUNT)]


def test_a_picture_is_a_function_of_seed_and_index() -> None:
    first, again, other = draw_varied(3, index=5), draw_varied(3, index=5), draw_varied(3, index=6)

    assert first == again != other
    assert np.array_equal(render_varied(first), render_varied(again))
    assert not np.array_equal(render_varied(first), render_varied(dataclasses.replace(first, seed=1)))


def test_pictures_stay_those_that_the_weights_were_trained_on() -> None:
    shown = [draw_varied(0, index=index) for index in range(4)]

    means = [float(render_varied(picture).mean()) for picture in shown]

    assert [picture.caption for picture in shown] == [
        "sunflower",
        "lotus, pink background",
        "grey wheel, orange background",
        "small lobster, bottom",
    ]
    assert means == pytest.approx([146.5, 199.4, 142.3, 243.8], abs=0.5)


def test_pictures_show_no_pair_that_is_held_out_and_none_is_tilted() -> None:
    specs = [picture.spec for picture in many()]

    assert all(map(is_seen, specs))
    assert {spec.tilt for spec in specs} == {"upright"}
    assert {spec.background for spec in specs} == set(COLOURS)


def test_a_caption_tells_about_half_of_what_a_picture_shows() -> None:
    shown = [(picture, key) for picture in many() for key, _ in picture.spec.changed]

    told = sum(key in picture.told for picture, key in shown)
    backgrounds = [p.spec.background for p in many() if "background" not in p.caption]

    assert told / len(shown) == pytest.approx(0.5, abs=0.05)
    assert sum(value == "white" for value in backgrounds) / len(backgrounds) == pytest.approx(0.46, abs=0.05)


def test_what_is_told_is_shown_and_what_is_not_reads_as_the_default() -> None:
    spec = EmojiSpec(name="crab", background="blue", tint="grey", layout="left")

    captions = [
        VariedEmoji(spec=spec, told=told, seed=0).caption
        for told in ((), ("background",), ("layout", "tint"))
    ]

    assert captions == ["crab", "crab, blue background", "small grey crab, left"]


def test_confetti_lies_behind_the_emoji_and_without_it_a_render_is_as_ever() -> None:
    spec = EmojiSpec(name="crab", background="blue")
    plain = render(spec)

    strewn_over = render(spec, backdrop=strewn(COLOURS["blue"], seed=1))
    flat = render(spec, backdrop=np.full((64, 64, 3), COLOURS["blue"], np.uint8))

    changed = (strewn_over != plain).any(2)
    background = (plain == COLOURS["blue"]).all(2)
    assert np.array_equal(flat, plain)
    assert 0.05 < changed.mean() < 0.4
    assert (changed & background).sum() > 0.6 * changed.sum()
