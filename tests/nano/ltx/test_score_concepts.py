"""What is measured of a concept is right on true clips and wrong on exchanged ones."""

from __future__ import annotations

import dataclasses

import pytest

from loralab.data.moving.concepts import moving_concept
from loralab.nano.ltx.draw import Drawn
from loralab.nano.ltx.score import truth
from loralab.nano.ltx.score_concepts import measured

DISTANCE = {"moving_zigzag": 6, "moving_canny": 6, "moving_tracks": 6}


@pytest.mark.parametrize("name", DISTANCE)
def test_a_concept_is_measured_right(name: str) -> None:
    scenes = moving_concept(name).scenes["held_out"][:4]
    true = truth(scenes)

    right = measured(name, scenes, true)
    wrong = measured(name, scenes, Drawn(true.pixels.roll(1, 0), true.sound.roll(1, 0)))

    assert right["distance"] < DISTANCE[name] < wrong["distance"] / 2
    if name == "moving_zigzag":
        assert right["swing"] > 0.98
        assert right["width"] == pytest.approx(1, abs=0.1)
        assert right["pitch"] == right["name"] == 1
    if name == "moving_canny":
        assert right["edges"] > 0.99
        assert wrong["edges"] < 0.5


def test_a_zigzag_is_neither_a_straight_way_nor_one_that_sounds_as_the_base_does() -> None:
    scenes = moving_concept("moving_zigzag").scenes["held_out"][:4]
    straight = truth([dataclasses.replace(scene, look="plain") for scene in scenes])

    figures = measured("moving_zigzag", scenes, straight)

    assert figures["width"] < 0.1
    assert figures["pitch"] < 0.8
