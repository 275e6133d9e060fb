"""The shipped twin draws what it is told, far above chance, in a folder that any diffusers loads."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from loralab.data.emoji.spec import EmojiSpec
from loralab.nano.__main__ import FOLDER
from loralab.nano.score import Score, draw, load_pipeline, score_attribute, score_retrieval, truth


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return load_pipeline(FOLDER)


def test_the_folder_has_at_most_16_mib() -> None:
    sizes = [path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()]

    assert sizes and sum(sizes) <= 16 * 2**20


def test_plain_captions_are_drawn_as_their_emoji(pipeline: Any) -> None:
    score = score_retrieval(pipeline, limit=16, num_steps=8)

    assert score.share >= 0.8
    assert score.interval[0] > 10 * score.chance


def test_backgrounds_never_seen_with_an_emoji_are_drawn_all_the_same(pipeline: Any) -> None:
    score = score_attribute(pipeline, "background", limit=12, num_steps=8)

    assert score.share >= 0.8
    assert score.interval[0] > 2 * score.chance


def test_a_reserved_word_changes_little_before_an_adapter_gives_it_a_meaning(pipeline: Any) -> None:
    plain, with_word, other = draw(pipeline, ["linocut, crab"], num_steps=8), None, None

    with_word, other = (draw(pipeline, [caption], num_steps=8) for caption in ("crab", "frog face"))

    near, far = ((picture - plain).square().mean().item() for picture in (with_word, other))
    assert near < 0.5 * far


def test_drawing_twice_gives_the_same_picture(pipeline: Any) -> None:
    first, second = (draw(pipeline, ["owl"], num_steps=2, seed=3) for _ in range(2))

    assert torch.equal(first, second)


def test_truth_is_the_exact_render_in_unit_range() -> None:
    pictures = truth([EmojiSpec(name="crab", background="red")])

    assert pictures.shape == (1, 3, 64, 64)
    assert torch.allclose(pictures[0, :, 0, 0], torch.tensor([226, 62, 58]) / 255)


def test_the_interval_of_a_score_holds_its_share_and_narrows_with_more_questions() -> None:
    few = Score(what="few", right=8, asked=10, chance=0.1)
    many = Score(what="many", right=800, asked=1000, chance=0.1)

    assert few.interval == pytest.approx((0.490, 0.943), abs=1e-3)  # Wilson's interval of 8 in 10, by hand
    assert few.interval[0] < many.interval[0] < 0.8 < many.interval[1] < few.interval[1]
