from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from tests.training.runs import save_pictures

from loralab.adapter import read_metadata
from loralab.cli import assistant
from loralab.cli.compose import composed_run
from loralab.errors import UserError
from loralab.evaluation.assistant import AssistantCheck


def tiny(checkpoint: Path, cache: Path) -> list[str]:
    return [
        "model=zimage_turbo",
        f"model.checkpoint={checkpoint}",
        "model.max_prompt_length=16",
        "model.recipe.resolution=64",
        "model.sampling={height: 64, width: 64, num_steps: 2, guidance_scale: 0.0}",
        f"cache_root={cache}",
        "trainer=smoke",
        "logger=none",
        "memory.checkpointing=none",
    ]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def trained(tiny_zimage_folder: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an assistant's run on six own pictures."""
    folder = tmp_path_factory.mktemp("assistant")
    prompts = folder / "prompts.txt"
    prompts.write_text("a cat\n\na robot is dancing\n")
    assistant.main(
        [
            "train",
            *tiny(tiny_zimage_folder, cache),
            f"assistant.prompts={prompts}",
            "assistant.num_pictures=6",
            f"assistant.output={folder / 'run'}",
            "dataset.validation_fraction=0.3",
            "steps=3",
            "run.save_every=3",
        ]
    )
    return folder / "run"


def test_an_assistant_is_trained_on_own_pictures_and_its_file_says_what_it_is(trained: Path) -> None:
    metadata = read_metadata(trained / "adapter.safetensors")
    result = json.loads((trained / "result.json").read_text())

    assert metadata is not None
    assert (metadata.objective, metadata.model, metadata.step) == ("assistant", "zimage_turbo", 3)
    assert metadata.rank == 32
    assert result["dataset"]["train"] + result["dataset"]["validation"] == 6
    assert result["dataset"]["latents_encoded"] == result["dataset"]["prompts_encoded"] == 0


def test_an_assistants_run_is_a_line_that_can_be_typed_again(trained: Path) -> None:
    overrides = yaml.safe_load((trained / "overrides.yaml").read_text())

    config = composed_run(overrides)

    assert config.objective._target_ == "loralab.objectives.flow_matching.assistant"
    assert config.optimizer.lr == pytest.approx(5e-5)
    assert config.watch.every == 0
    assert config.dataset.trigger is None


def test_a_check_reports_errors_sharpness_and_a_verdict(
    trained: Path, tiny_zimage_folder: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    arguments = [*tiny(tiny_zimage_folder, cache), "assistant.num_pictures=2"]
    assistant.main(["check", str(trained / "adapter.safetensors"), *arguments])

    assert "error on own pictures" in caplog.text
    assert "verdict                 no good assistant: the error on own pictures changes by" in caplog.text
    assert (trained / "assistant_check" / "grid.png").is_file()


def test_captions_lose_the_trigger_and_the_data_set_is_replaced(
    tiny_zimage_folder: Path, cache: Path, tmp_path: Path
) -> None:
    from loralab.cli.own_prompts import own_prompts

    pictures = save_pictures(tmp_path / "pictures", count=2)
    (pictures / "0.txt").write_text("sks, a hat")
    typed = [*tiny(tiny_zimage_folder, cache), f"dataset.root={pictures}", "dataset.trigger=sks"]
    typed = [*typed, "dataset.trigger_policy=written", "dataset.flip=true", "optimizer.lr=3e-5"]
    config = composed_run(typed)

    prompts = own_prompts(config, None, count=3)
    overrides = assistant.training_overrides(config, typed, pictures=tmp_path / "own" / "pictures")

    assert set(prompts) == {"a hat", "picture number 1"}
    assert len(prompts) == 3
    made = composed_run(overrides)
    assert (made.dataset.root, made.dataset.trigger) == (str(tmp_path / "own" / "pictures"), None)
    assert made.dataset.flip
    assert made.optimizer.lr == 3e-5


def test_the_nano_model_needs_no_prompts(tmp_path: Path) -> None:
    from loralab.cli.own_prompts import own_prompts

    config = composed_run(["model=zimage_turbo", "objective=assistant", "dataset=emoji_linocut"])

    prompts = own_prompts(config, None, count=5)

    assert len(set(prompts)) == 5
    assert not any("linocut" in prompt for prompt in prompts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "assistant needs a verb"),
        (["check"], "assistant check needs one adapter file"),
        (["train", "model=zimage_base", "dataset.root=x"], "model=zimage_base is not distilled"),
        (["train", "model=zimage_turbo"], r"assistant needs prompts: assistant\.prompts=<file"),
        (
            ["train", "model=zimage_turbo", "assistant.prompts=/nowhere"],
            r"assistant\.prompts=/nowhere is no file",
        ),
        (
            ["train", "model=zimage_turbo", "assistant.number=3"],
            r"assistant\.number is no setting; known are",
        ),
        (
            ["train", "model=zimage_turbo", "dataset.root=x", "assistant.num_pictures=1"],
            "num_pictures=1 must be a whole number of at least 2",
        ),
    ],
)
def test_an_assistant_that_cannot_be_is_refused_with_the_way_out(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        assistant.main(arguments)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, None),
        ({"error_with": 0.97}, "train longer"),
        ({"sharpness": 1.01, "sharpness_many": 1.2}, "still distilled"),
        ({"sharpness_many": 0.5}, "blurred the checkpoint for good"),
    ],
)
def test_the_verdict_needs_a_lower_error_blur_at_few_steps_and_detail_at_many(
    changes: dict[str, float], word: str | None
) -> None:
    measured = {"error_without": 1.0, "error_with": 0.8, "sharpness": 0.6, "sharpness_many": 0.95}

    check = AssistantCheck(**{**measured, **changes})

    assert (check.problems == ()) == (word is None)
    assert word is None or word in check.verdict
