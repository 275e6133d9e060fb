"""Findings about captions."""

from __future__ import annotations

import pytest

from loralab.data.audit.captions import Captioned, CaptionWishes, caption_findings, is_tag_list

SENTENCE = "A woman in a red coat crosses the street, and a dog follows her"


def kinds(*captions: str, **wishes: object) -> dict[str, tuple[str, list[str]]]:
    """Gives level and names by kind."""
    asked = {
        "sentences": True,
        "trigger": "sks",
        "policy": "prepend",
        "default": None,
        "max_length": None,
    } | wishes
    captioned = [Captioned(str(number), caption) for number, caption in enumerate(captions)]
    found = caption_findings(captioned, CaptionWishes(**asked))  # type: ignore[arg-type]
    return {each.kind: (each.level, [flag.name for flag in each.flagged]) for each in found}


@pytest.mark.parametrize(
    "caption", ["1girl, solo, red hair, smile", "sks, oil painting, a cat, green eyes, moon"]
)
def test_lists_of_tags_are_told_from_sentences(caption: str) -> None:
    assert is_tag_list(caption)
    assert kinds(caption, SENTENCE)["tags"] == ("warning", ["0"])


@pytest.mark.parametrize(
    "caption", [SENTENCE, "a cat", "red, green, blue", "Snow, ice, fog, wind. All is white."]
)
def test_sentences_and_short_captions_are_no_tags(caption: str) -> None:
    assert not is_tag_list(caption)


def test_only_models_of_sentences_are_asked_for_them() -> None:
    assert {"tags", "short captions"}.isdisjoint(kinds("a, b, c, d", "x", sentences=False))
    assert kinds("a cat", SENTENCE)["short captions"] == ("warning", ["0"])


def test_equal_captions_are_flagged_but_the_default_one_is_not() -> None:
    assert kinds(SENTENCE, SENTENCE.upper(), "another one of five words")["equal captions"] == (
        "warning",
        ["0", "1"],
    )
    assert "equal captions" not in kinds(SENTENCE, SENTENCE, default=SENTENCE)


@pytest.mark.parametrize(
    ("policy", "missing"), [("prepend", None), ("written", ["1", "2"]), ("replace", ["0", "1"])]
)
def test_the_trigger_is_missed_where_the_policy_wants_it(policy: str, missing: list[str] | None) -> None:
    found = kinds("sks crosses the wide street", SENTENCE, "and [trigger] crosses it too", policy=policy)

    assert found.get("trigger") == (None if missing is None else ("warning", missing))


def test_no_trigger_at_all_is_a_note() -> None:
    assert kinds(SENTENCE, trigger=None)["trigger"] == ("note", [])


def test_captions_beyond_the_models_length_are_flagged() -> None:
    assert kinds(SENTENCE, "word " * 50, max_length=60)["long captions"] == ("warning", ["1"])
