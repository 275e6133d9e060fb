from __future__ import annotations

import pytest

from loralab.data.captions import CaptionRules, tidy


@pytest.mark.parametrize(
    ("policy", "caption", "expected"),
    [
        ("prepend", "a cat", "sks, a cat"),
        ("prepend", "a [trigger] cat", "a sks cat"),
        ("replace", "a cat", "a cat"),
        ("replace", "a [trigger] cat", "a sks cat"),
        ("written", "a sks cat", "a sks cat"),
    ],
)
def test_the_trigger_goes_where_the_policy_says(policy: str, caption: str, expected: str) -> None:
    rules = CaptionRules(trigger="sks", policy=policy)  # type: ignore[arg-type]

    assert rules.prompts(caption, key="k") == (expected,)


def test_shuffled_tags_keep_the_first_ones_and_all_words() -> None:
    rules = CaptionRules(trigger="sks", num_variants=6, keep_first=2)

    prompts = rules.prompts("one, two, three, four, five, six", key="k")

    assert prompts[0] == "sks, one, two, three, four, five, six"
    assert len(prompts) > 3
    for prompt in prompts:
        assert prompt.startswith("sks, one, two, ")
        assert sorted(prompt.split(", ")) == sorted(prompts[0].split(", "))


def test_shuffles_are_the_same_every_time_and_differ_between_pictures() -> None:
    rules = CaptionRules(trigger=None, num_variants=4)
    caption = "one, two, three, four, five, six"

    assert rules.prompts(caption, key="k") == rules.prompts(caption, key="k")
    assert rules.prompts(caption, key="k") != rules.prompts(caption, key="other")


def test_equal_variants_are_given_once() -> None:
    assert CaptionRules(trigger=None, num_variants=8).prompts("just one tag", key="k") == ("just one tag",)


def test_a_caption_of_several_lines_becomes_one() -> None:
    assert tidy("  a cat\r\n on  the\tmoon \n") == "a cat on the moon"
