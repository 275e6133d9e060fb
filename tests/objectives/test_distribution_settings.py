from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from loralab.data.collect import Collection
from loralab.data.records import Record
from loralab.errors import UserError
from loralab.flow import Uniform
from loralab.flow.weighting import ConstantWeighting
from loralab.objectives.distribution import (
    Anchor,
    Base,
    Coupled,
    DistributionMatching,
    Fake,
    Matching,
    Prior,
    StageTwoSettings,
)
from loralab.objectives.distribution.bank import Entry, bank_of
from loralab.objectives.distribution.prompts import prior_prompts, without_trigger
from loralab.objectives.distribution.settings import Weights


def recipe(**settings: Any) -> DistributionMatching:
    return DistributionMatching(sigmas=Uniform(), weighting=ConstantWeighting(), **settings)


def collection(tmp_path: Path, *captions: str, prompts: tuple[str, ...] = ()) -> Collection:
    records = [
        Record(
            key=str(number), path=tmp_path, name=caption, caption=caption, width=64, height=64,
            prompts=prompts or (f"sks, {caption}",),
        )
        for number, caption in enumerate(captions)
    ]  # fmt: skip
    return Collection(train=tuple(records), cache_root=tmp_path)


@pytest.mark.parametrize(
    ("settings", "weights"),
    [
        ({"preset": "dm_aware"}, Weights(coupled=0.0, dm=1.0, anchor=1.0)),
        ({"preset": "coupled"}, Weights(coupled=1.0, dm=0.0, anchor=1.0)),
        ({"preset": "coupled", "dm": Matching(weight=0.5)}, Weights(coupled=1.0, dm=0.5, anchor=1.0)),
        ({"preset": "dm_aware", "anchor": Anchor(weight=0.0)}, Weights(coupled=0.0, dm=1.0, anchor=0.0)),
    ],
)
def test_what_is_given_explicitly_wins_over_the_preset(settings: dict[str, Any], weights: Weights) -> None:
    assert recipe(**settings).weights == weights


@pytest.mark.parametrize(
    ("preset", "given", "num_steps", "expected"),
    [
        ("adapter", None, 2000, 0),
        ("coupled", None, 400, 40),
        ("dm_aware", None, 5, 1),
        ("dm_aware", None, 6000, 500),
        ("dm_aware", 7, 10, 7),
    ],
)
def test_the_second_stage_is_a_tenth_of_the_run_unless_said_otherwise(
    preset: str, given: int | None, num_steps: int, expected: int
) -> None:
    settings = recipe(preset=preset, stage2=StageTwoSettings(steps=given))

    assert settings.second_steps(num_steps) == expected


@pytest.mark.parametrize(
    ("given", "num_steps", "expected"), [(None, 10, 2), (None, 120, 12), (0, 120, 0), (40, 120, 40)]
)
def test_the_fake_network_only_follows_for_a_fifth_of_a_short_stage(
    given: int | None, num_steps: int, expected: int
) -> None:
    assert recipe(fake=Fake(warmup_steps=given)).warmup_steps(num_steps) == expected


@pytest.mark.parametrize(("given", "num_steps"), [(10, 10), (None, 1)])
def test_both_stages_need_steps(given: int | None, num_steps: int) -> None:
    with pytest.raises(UserError, match=rf"objective\.stage2\.steps=.* leaves nothing of steps={num_steps}"):
        recipe(preset="dm_aware", stage2=StageTwoSettings(steps=given)).second_steps(num_steps)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: recipe(preset="naive"), r"objective\.preset=naive is none of adapter, coupled, dm_aware"),
        (lambda: recipe(preset="adapter", coupled=Coupled(weight=1.0)), r"coupled\.weight=1\.0 has no effect"),
        (lambda: recipe(preset="adapter", fake=Fake(lr=1e-4)), r"objective\.fake\.lr=0\.0001 has no effect"),
        (lambda: recipe(preset="adapter", stage2=StageTwoSettings(steps=5)), r"every weight .* is 0"),
        (lambda: recipe(assistant="a", base=Base(checkpoint="b")), r"objective\.assistant=a has no effect"),
        (lambda: recipe(num_steps=0), r"objective\.num_steps=0 must be at least 1"),
        (
            lambda: recipe(preset="adapter", prior=Prior(weight=0.0, prompts=["a"])),
            r"objective\.prior\.prompts has no effect",
        ),
        (lambda: Base(guidance=1.0), r"objective\.base\.guidance=1\.0 .* no effect without"),
        (lambda: Base(checkpoint="b", guidance=-1.0), r"must be at least 0; 0 is off"),
        (lambda: Prior(bank_size=0, weight=-1.0), r"bank_size=0 .*\n.*weight=-1\.0"),
        (lambda: StageTwoSettings(steps=-1, lr=0.0), r"stage2\.steps=-1 .*\n.*stage2\.lr=0\.0"),
        (lambda: Coupled(teacher_steps=0), r"objective\.coupled\.teacher_steps=0 must be at least 1"),
        (lambda: Matching(sigmas=(0.5, 0.5)), r"0 < lowest < highest < 1"),
        (lambda: Matching(floor=0.0), r"objective\.dm\.floor=0\.0 must be above 0"),
        (lambda: Fake(updates=0, betas=(0.0, 1.0)), r"fake\.updates=0 .*\n.*fake\.betas"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_say_so_and_name_the_way_out(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


@pytest.mark.parametrize(
    ("caption", "left"),
    [
        ("sks, a cat on a sofa", "a cat on a sofa"),
        ("a photo of [trigger], sitting", "a photo of, sitting"),
        ("a Sks cat", "a cat"),
        ("a cat, sks", "a cat"),
        ("a desksks cat", "a desksks cat"),
    ],
)
def test_the_trigger_is_taken_out_as_a_word_with_its_comma(caption: str, left: str) -> None:
    assert without_trigger(caption, "sks") == left


def test_the_prior_is_the_captions_without_the_trigger_each_once(tmp_path: Path) -> None:
    data = collection(tmp_path, "a sks cat", "a dog", "a dog")

    assert prior_prompts(None, data, trigger="sks") == ("a cat", "a dog")


def test_prompts_that_call_the_concept_are_left_out_with_a_message(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = collection(tmp_path, "a cat", prompts=("a trained prompt",))
    file = tmp_path / "prompts.txt"
    file.write_text("a house\n\na SKS house\n a trained prompt \n")

    with caplog.at_level(logging.WARNING):
        kept = prior_prompts(str(file), data, trigger="sks")

    assert kept == ("a house",)
    assert "2 call the concept and are left out, for example 'a SKS house'" in caplog.text


@pytest.mark.parametrize(
    ("given", "trigger", "message"),
    [
        (None, None, r"objective\.prior\.prompts must be given, since dataset\.trigger is not"),
        (["a sks cat"], "sks", r"no prompt left without the concept"),
        ("nowhere.txt", "sks", r"objective\.prior\.prompts=nowhere\.txt does not exist"),
    ],
)
def test_a_prior_without_prompts_says_how_to_get_some(
    given: Any, trigger: str | None, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        prior_prompts(given, collection(tmp_path, "a cat"), trigger=trigger)


def test_an_interrupted_bank_is_completed_and_nothing_is_drawn_twice(tmp_path: Path) -> None:
    items = [("a", (1, 2, 2)), ("b", (1, 2, 4))]
    asked: list[list[int]] = []

    def draw(entries: list[Entry]) -> torch.Tensor:
        asked.append([entry.number for entry in entries])
        if len(asked) == 2:
            raise KeyboardInterrupt
        return torch.stack([torch.full(entry.shape, float(entry.number)) for entry in entries])

    bank = bank_of(items, size=6, root=tmp_path, fingerprint=("x",))
    with pytest.raises(KeyboardInterrupt):
        bank.fill(draw, at_once=2, label="")  # type: ignore[arg-type]
    first = asked[0]
    bank.fill(draw, at_once=2, label="")  # type: ignore[arg-type]
    again = bank_of(items, size=6, root=tmp_path, fingerprint=("x",))
    again.fill(draw, at_once=2, label="")  # type: ignore[arg-type]

    assert first not in asked[1:]
    assert sorted(number for chunk in [first, *asked[2:]] for number in chunk) == list(range(6))
    drawn = again.drawn(4, seed=0, stream="s", index=3)
    assert len({entry.shape for entry in drawn}) == 1
    assert again.read(drawn)[:, 0, 0, 0].tolist() == [entry.number for entry in drawn]
    assert bank_of(items, size=6, root=tmp_path, fingerprint=("y",)).folder != bank.folder
