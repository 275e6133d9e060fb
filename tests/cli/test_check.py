"""`python -m loralab check` on a deliberately flawed data set, and on a good one."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from bench.flawed import save_flawed, scene
from safetensors.torch import load_file, save_file
from tests.data.video.files import write_video
from tests.training.clip_runs import save_clips
from tests.training.runs import finished, tiny_config

from loralab.cli import check
from loralab.cli.check import checked
from loralab.data.audit import Finding
from loralab.errors import UserError

FLAWS = {
    "unusable pictures": ("error", {"corrupt.png", "no_caption.png", "tiny.png"}),
    "cropped": ("warning", {"wide.png"}),
    "blurred": ("warning", {"blurred.png"}),
    "copies": ("warning", {"good_0.png", "copy_of_0.jpg"}),
    "tags": ("warning", {"tags.png"}),
    "short captions": ("warning", {"short.png"}),
    "equal captions": ("warning", {"same_15.png", "same_16.png"}),
    "trigger": ("warning", {"no_trigger.png"}),
    "framing close_up": ("warning", {"good_0.png"}),
    "framing medium": ("warning", set()),
    "framing full_body": ("warning", {"good_1.png", "good_2.png", "good_3.png"}),
    "number of pictures": ("warning", set()),
}


@pytest.fixture(scope="module")
def flawed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_flawed(tmp_path_factory.mktemp("flawed") / "pictures", side=64)


def typed(checkpoint: Path, pictures: Path, *more: str, model: str = "zimage_turbo") -> list[str]:
    return [
        f"model={model}",
        f"model.checkpoint={checkpoint}",
        "model.recipe.resolution=64",
        f"dataset.root={pictures}",
        f"cache_root={pictures.parent / 'cache'}",
        "dataset.trigger=sks",
        *more,
    ]


FLAWED = (
    "dataset.trigger_policy=written",
    "+model.recipe.pictures=[70,80]",
    "+model.recipe.framing={close_up: [0.4, 0.5], medium: [0.3, 0.4], full_body: [0.1, 0.2]}",
)


def by_kind(findings: tuple[Finding, ...]) -> dict[str, Finding]:
    return {finding.kind: finding for finding in findings}


def test_every_flaw_is_found_and_nothing_else(flawed: Path, tiny_zimage_folder: Path) -> None:
    found = checked(typed(tiny_zimage_folder, flawed, *FLAWED), own={}, blur=25)

    serious = {kind: each for kind, each in by_kind(found.findings).items() if each.level != "note"}
    assert {
        kind: (each.level, {Path(flag.name).name for flag in each.flagged}) for kind, each in serious.items()
    } == FLAWS
    assert found.status(strict=False) == 2
    assert by_kind(found.findings)["cache"].message.startswith("0 of 13 prompts, 0 of 13 latents are encoded")
    assert found.plan[0].startswith("model         zimage_turbo")


def test_the_page_shows_what_is_flagged_and_escapes_captions(
    flawed: Path, tiny_zimage_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page" / "check.html"
    other = "dataset.trigger=garden"  # which the hostile caption lacks

    with pytest.raises(SystemExit) as ended:
        check.main(typed(tiny_zimage_folder, flawed, *FLAWED, other, f"check.out={page}"))

    text = page.read_text(encoding="utf-8")
    assert ended.value.code == 2
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in text
    assert text.count("data:image/") >= 10
    assert "Made by python -m loralab check" in text
    assert "python -m loralab report" not in text
    assert "1 errors" in capsys.readouterr().out


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(4):
        scene(seed, width=64, height=64).save(folder / f"{seed}.png")
        (folder / f"{seed}.txt").write_text(
            f"A thing with {seed} corners stands on a table", encoding="utf-8"
        )
    return folder


def test_a_clean_set_ends_with_0_and_settles_its_steps(
    clean: Path, tiny_klein_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("steps=auto", "run.save_every=auto", "safety=off", "check.strict=true", "check.out=null")

    check.main(typed(tiny_klein_folder, clean, *more, model="flux2_klein4b"))

    printed = capsys.readouterr().out
    assert "steps=auto: 72 (run.save_every=12 x 6)" in printed
    assert printed.endswith("0 errors, 0 warnings\n")


@pytest.mark.slow
def test_warnings_end_with_1_under_strict_alone(clean: Path, tiny_klein_folder: Path) -> None:
    (clean / "0.txt").write_text("cat, table, blue, day", encoding="utf-8")
    line = typed(tiny_klein_folder, clean, "check.out=null", model="flux2_klein4b")

    check.main(line)
    with pytest.raises(SystemExit) as ended:
        check.main([*line, "check.strict=true"])

    assert ended.value.code == 1


def test_a_broken_rule_does_not_keep_the_data_from_being_looked_at(
    clean: Path, tiny_klein_folder: Path
) -> None:
    found = checked(typed(tiny_klein_folder, clean, "optimizer.lr=1", model="flux2_klein4b"), own={}, blur=25)

    kinds = by_kind(found.findings)
    assert "optimizer.lr=1 is outside the safe range" in kinds["configuration"].message
    assert "4 to train on" in kinds["pictures"].message
    assert found.status(strict=False) == 2
    assert found.plan == ()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ([], "dataset.root must be given"),
        (["dataset.root=/nowhere"], "dataset.root=/nowhere is not a folder"),
        (["modle=x"], "Key 'modle' is not in struct|Could not override 'modle'"),
    ],
)
def test_what_cannot_be_looked_at_is_an_error(line: list[str], message: str) -> None:
    found = checked(["model=flux2_klein4b", *line], own={}, blur=25)

    assert found.status(strict=False) == 2
    assert any(re.search(message, finding.message) for finding in found.findings)


def test_a_budget_that_nothing_fits_into_is_an_error(clean: Path, tiny_klein_folder: Path) -> None:
    own = {"card": "RTX 4090", "budget_gib": "0.0001"}

    found = checked(typed(tiny_klein_folder, clean, model="flux2_klein4b"), own=own, blur=25)

    assert by_kind(found.findings)["memory"].level == "error"


def test_the_check_knows_its_own_settings() -> None:
    with pytest.raises(UserError, match=r"check\.strcit is no setting; known are check\.strict, check\.out"):
        check.main(["check.strcit=true"])


def test_clips_are_judged_by_their_rules_and_captions(tiny_ltx_folder: Path, tmp_path: Path) -> None:
    clips = save_clips(tmp_path / "clips", count=3, sound=None)
    write_video(clips / "short.mp4", frames=5, caption="clip, tone, blue, night")
    line = [
        "model=ltx23",
        f"model.checkpoint={tiny_ltx_folder}",
        f"dataset.root={clips}",
        "dataset.buckets='96x64x9;64x64x9'",
        f"cache_root={tmp_path / 'cache'}",
    ]

    flawed = by_kind(checked(line, own={}, blur=25).findings)
    (clips / "short.mp4").unlink()
    whole = by_kind(checked(line, own={}, blur=25).findings)

    assert "has 5 frames, 9 are needed" in flawed["unusable clips"].flagged[0].remark
    assert "unusable clips" not in whole
    assert whole["cache"].message.startswith("0 of 4 prompts, 0 of 3 latents")


@pytest.mark.slow
def test_what_a_run_has_encoded_counts_as_such_and_its_steps_are_those_of_the_check(
    clean: Path, tiny_klein_folder: Path, tmp_path: Path
) -> None:
    auto = ("steps=auto", "run.save_every=auto", "batch_size=4", "safety=off")
    config = tiny_config(tiny_klein_folder, clean, *auto, cache=clean.parent / "cache")
    line = typed(tiny_klein_folder, clean, *auto, "model.max_prompt_length=16", model="flux2_klein4b")

    result = finished(config, tmp_path / "run")
    found = by_kind(checked([each for each in line if "trigger" not in each], own={}, blur=25).findings)

    assert result["steps"] == 18
    assert "steps=auto: 18" in found["epochs"].message
    assert found["cache"].message == "5 of 5 prompts, 4 of 4 latents are encoded already"


@pytest.mark.slow
def test_a_run_does_not_go_on_with_another_base(clean: Path, tiny_klein_folder: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(tiny_klein_folder, checkpoint)
    config = tiny_config(checkpoint, clean, "steps=2", "run.save_every=1", cache=tmp_path / "cache")
    finished(config, tmp_path / "run")
    weights = checkpoint / "transformer" / "diffusion_pytorch_model.safetensors"
    save_file({key: tensor + 1e-3 for key, tensor in load_file(weights).items()}, weights)
    config.run.resume = str(tmp_path / "run")

    with pytest.raises(
        UserError, match=r"step_000002\.safetensors was trained on .* whose weights are others than"
    ):
        finished(config, tmp_path / "run")
