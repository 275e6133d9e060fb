from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tests.objectives.distribution_runs import STAGE_TWO, save_assistant, turbo, turbo_config
from tests.training.runs import finished, logged, save_pictures, tiny_config

from loralab.adapter import attached, read_metadata
from loralab.adapter.roles import FAKE, STUDENT, TEACHER
from loralab.errors import UserError
from loralab.flow import rollout


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def assistant(tiny_zimage_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_assistant(tiny_zimage_folder, tmp_path_factory.mktemp("assistant") / "assistant.safetensors")


@pytest.fixture(scope="module")
def trained(
    tiny_zimage_folder: Path,
    pictures: Path,
    cache: Path,
    assistant: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """A finished run of each preset."""
    folders = {}
    for preset, stages in (("adapter", ()), ("coupled", STAGE_TWO), ("dm_aware", STAGE_TWO)):
        folders[preset] = tmp_path_factory.mktemp(preset)
        overrides = (*stages, f"objective.preset={preset}", "optimizer.lr=1e-2")
        config = turbo_config(tiny_zimage_folder, pictures, *overrides, cache=cache, assistant=assistant)
        assert finished(config, folders[preset])["status"] == "finished"
    return folders


def checkpoint(folder: Path) -> dict[str, Any]:
    kept: dict[str, Any] = torch.load(folder / "checkpoint.ckpt", weights_only=True)
    return kept


@pytest.mark.parametrize(
    ("preset", "terms"),
    [
        ("adapter", {"loss/concept", "loss/prior"}),
        ("coupled", {"loss/concept", "loss/prior", "loss/coupled", "loss/anchor"}),
        ("dm_aware", {"loss/concept", "loss/prior", "loss/anchor", "loss/dm", "loss/fake"}),
    ],
)
def test_each_preset_minimises_its_terms_and_says_what_it_is(
    trained: dict[str, Path], preset: str, terms: set[str]
) -> None:
    lines = [json.loads(line) for line in (trained[preset] / "metrics.jsonl").read_text().splitlines()]
    metadata = read_metadata(trained[preset] / "adapter.safetensors")
    stages = logged(trained[preset], "train/stage")

    assert {name for line in lines for name in line if name.startswith("loss/")} == terms
    assert metadata is not None
    assert (metadata.objective, metadata.preset, metadata.step) == ("DistributionMatching", preset, 6)
    assert list(stages) == [1, 2, 3, 4, 5, 6]
    assert list(stages.values()) == ([1.0] * 6 if preset == "adapter" else [1.0] * 3 + [2.0] * 3)


def test_the_step_counts_the_students_updates_whatever_the_fake_network_makes(
    trained: dict[str, Path],
) -> None:
    kept = checkpoint(trained["dm_aware"])
    fake = kept["distribution"]["optimizers"]["fake"]["state"]
    student = kept["optimizer_states"][0]["state"]

    assert kept["global_step"] == 6
    assert {int(state["step"]) for state in student.values()} == {3}
    assert {int(state["step"]) for state in fake.values()} == {3 * 2}
    assert logged(trained["dm_aware"], "cost/forwards")[6] == 2 + 2 * 3 + 2 + 2 * 3


def test_gradients_are_clipped_by_hand_and_logged_as_they_were_before(
    tiny_zimage_folder: Path,
    pictures: Path,
    cache: Path,
    assistant: Path,
    trained: dict[str, Path],
    tmp_path: Path,
) -> None:
    overrides = (
        "objective.preset=adapter",
        "optimizer.lr=1e-2",
        "trainer.gradient_clip_val=1e-8",
        "optimizer.eps=1e-3",
    )
    config = turbo_config(tiny_zimage_folder, pictures, *overrides, cache=cache, assistant=assistant)

    finished(config, tmp_path / "clipped")

    free, clipped = (
        logged(folder, "train/gradient_norm") for folder in (trained["adapter"], tmp_path / "clipped")
    )
    moved = {
        folder: logged(folder, "update_norm/mean")[6] for folder in (trained["adapter"], tmp_path / "clipped")
    }
    assert clipped[1] == free[1] > 1e-3
    assert moved[tmp_path / "clipped"] < 1e-3 * moved[trained["adapter"]]


def test_a_file_holds_the_students_tensors_alone_and_draws_as_the_student_does(
    tiny_zimage_folder: Path, trained: dict[str, Path]
) -> None:
    for folder in trained.values():
        kept = checkpoint(folder)["distribution"]["adapters"]
        for path in [folder / "adapter.safetensors", *(folder / "snapshots").iterdir()]:
            with safe_open(path, framework="pt") as file:
                names = {name.removeprefix("transformer.") for name in file.keys()}  # noqa: SIM118
            assert names == set(kept[STUDENT])
    student = load_file(trained["dm_aware"] / "adapter.safetensors")
    for key, tensor in kept[STUDENT].items():
        assert torch.equal(student[f"transformer.{key}"], tensor)  # alpha = rank: nothing is baked in
    for other in (TEACHER, FAKE):
        assert any(not torch.equal(kept[other][key], tensor) for key, tensor in kept[STUDENT].items())
    denoiser = turbo(tiny_zimage_folder)
    embeds = [torch.randn(7, 16)]

    def drawn() -> torch.Tensor:
        sigmas = denoiser.sampling_sigmas(num_steps=4, latents_shape=(16, 8, 8))
        noise = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(1))
        velocity = lambda noisy, sigma: denoiser.velocity(noisy, sigma=sigma, prompt_embeds=embeds)  # noqa: E731
        return rollout(velocity, noise, sigmas=sigmas).states[-1]

    bare = drawn()
    with attached(
        denoiser.transformer,
        trained["dm_aware"] / "adapter.safetensors",
        foreign_names=denoiser.foreign_names,
    ):
        adapted = drawn()
    assert (adapted - bare).abs().max() > 1e-3
    with attached(
        denoiser.transformer,
        trained["dm_aware"] / "snapshots" / "step_000006.safetensors",
        foreign_names=denoiser.foreign_names,
    ):
        assert torch.equal(drawn(), adapted)


@pytest.mark.parametrize(
    "stop_after",
    [
        pytest.param(2, id="first stage", marks=pytest.mark.slow),
        pytest.param(3, id="boundary"),
        pytest.param(5, id="second stage", marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_and_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    stop_after: int, tiny_zimage_folder: Path, pictures: Path, cache: Path, assistant: Path, tmp_path: Path,
    whole: Path,
) -> None:  # fmt: skip
    cut = tmp_path / "cut"
    config = turbo_config(tiny_zimage_folder, pictures, *RESUMED, cache=cache, assistant=assistant)
    config.trainer.stop_after = stop_after
    with pytest.raises(SystemExit):
        finished(config, cut)
    interrupted = json.loads((cut / "result.json").read_text())

    config.trainer.stop_after = 0
    config.run.resume = str(cut)
    finished(config, cut)

    assert interrupted == {"status": "interrupted", "steps": stop_after}
    one, other = checkpoint(whole), checkpoint(cut)
    for part in ("distribution", "optimizer_states", "callbacks"):
        assert list(leaves(one[part])) == list(leaves(other[part]))
    for name in ("train/loss", "train/learning_rate", "loss/fake", "dm/rel_gap", "detector/flow_matching"):
        assert logged(cut, name) == logged(whole, name)
    mine, theirs = (load_file(folder / "adapter.safetensors") for folder in (whole, cut))
    assert all(torch.equal(tensor, theirs[key]) for key, tensor in mine.items())


RESUMED = (
    *STAGE_TWO,
    "optimizer.lr=1e-2",
    "ema_decay=0.9",
    "schedule=cosine",
    "objective.fake.warmup_steps=1",
    "run.save_every=100",
    "trainer._target_=tests.objectives.distribution_runs.stopping_trainer",
    "+trainer.stop_after=0",
)


@pytest.fixture(scope="module")
def whole(
    tiny_zimage_folder: Path,
    pictures: Path,
    cache: Path,
    assistant: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    finished(turbo_config(tiny_zimage_folder, pictures, *RESUMED, cache=cache, assistant=assistant), folder)
    return folder


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yields what a checkpoint holds, in an order of its own; tensors as numbers."""
    if isinstance(value, dict):
        for key in sorted(value, key=str):
            yield from leaves(value[key], f"{path}/{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}/{index}")
    else:
        yield path, value.tolist() if isinstance(value, torch.Tensor) else value


def test_a_second_run_reads_the_prior_that_the_first_drew(
    tiny_zimage_folder: Path,
    pictures: Path,
    cache: Path,
    assistant: Path,
    trained: dict[str, Path],
    tmp_path: Path,
) -> None:
    before = {path: path.stat().st_mtime_ns for path in (cache / "prior").rglob("*.safetensors")}
    overrides = ("objective.preset=adapter", "seed=1")
    config = turbo_config(tiny_zimage_folder, pictures, *overrides, cache=cache, assistant=assistant)

    finished(config, tmp_path / "again")

    assert len(before) == 5
    assert {path: path.stat().st_mtime_ns for path in (cache / "prior").rglob("*.safetensors")} == before


def test_without_assistant_or_base_the_way_to_one_is_said_before_anything_is_encoded(
    tiny_zimage_folder: Path, pictures: Path, tmp_path: Path
) -> None:
    config = turbo_config(tiny_zimage_folder, pictures, cache=tmp_path / "cache", assistant=None)

    with pytest.raises(
        UserError, match=r"objective\.assistant must be given.*assistant train.*objective\.base"
    ):
        finished(config, tmp_path / "run")

    assert not (tmp_path / "cache" / "prompts").exists()


def test_an_assistant_of_another_checkpoint_is_refused(
    tiny_zimage_folder: Path, pictures: Path, cache: Path, tmp_path: Path
) -> None:
    other = save_assistant(tiny_zimage_folder, tmp_path / "other.safetensors", base_digest="0" * 64)
    config = turbo_config(tiny_zimage_folder, pictures, *STAGE_TWO, cache=cache, assistant=other)

    with pytest.raises(UserError, match=r"other\.safetensors was trained on .* whose weights are others"):
        finished(config, tmp_path / "run")


KLEIN = (
    "model=flux2_klein4b_distilled",
    "objective=distribution_matching",
    "model.sampling={height: 64, width: 64, num_steps: 2, guidance_scale: 1.0}",
    "safety=off",
    "dataset.trigger=sks",
    "watch.every=0",
    "steps=4",
    "objective.preset=dm_aware",
    "objective.stage2.steps=2",
    "objective.prior.bank_size=3",
    "objective.coupled.bank_size=3",
    "objective.coupled.teacher_steps=2",
    "objective.fake.updates=1",
    "objective.fake.warmup_steps=0",
)


def beside(checkpoint: Path, folder: Path, *, part: str) -> Path:
    """Gives a copy of a pipeline in which one component's weights are others."""
    shutil.copytree(checkpoint, folder)
    file = next((folder / part).glob("*.safetensors"))
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
    save_file({key: tensor + 0.01 for key, tensor in load_file(file).items()}, file, metadata)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("guidance", [0.0, 0.5])
def test_the_distilled_klein_trains_with_its_base_as_the_score(
    guidance: float, tiny_klein_folder: Path, pictures: Path, cache: Path, tmp_path: Path
) -> None:
    base = beside(tiny_klein_folder, tmp_path / "base", part="transformer")
    given = (f"objective.base.checkpoint={base}", f"objective.base.guidance={guidance}", "optimizer.lr=1e-2")
    config = tiny_config(tiny_klein_folder, pictures, *KLEIN, *given, cache=cache)

    result = finished(config, tmp_path / "run")

    kept = checkpoint(tmp_path / "run")["distribution"]["adapters"]
    assert result["status"] == "finished"
    assert all(
        values
        for values in (logged(tmp_path / "run", name) for name in ("loss/dm", "loss/fake", "loss/concept"))
    )
    assert any(not torch.equal(kept[TEACHER][key], tensor) for key, tensor in kept[STUDENT].items())
    assert max(tensor.abs().max() for key, tensor in kept[TEACHER].items() if "lora_B" in key) > 0


def test_a_base_with_another_vae_is_refused(
    tiny_klein_folder: Path, pictures: Path, cache: Path, tmp_path: Path
) -> None:
    base = beside(tiny_klein_folder, tmp_path / "base", part="vae")
    config = tiny_config(
        tiny_klein_folder, pictures, *KLEIN, f"objective.base.checkpoint={base}", cache=cache
    )

    with pytest.raises(UserError, match=r"objective\.base\.checkpoint=.* has a VAE other than"):
        finished(config, tmp_path / "run")


@pytest.mark.slow
def test_a_quantised_base_whose_blocks_wait_in_main_memory_trains_as_well(
    tiny_zimage_folder: Path, pictures: Path, cache: Path, assistant: Path, tmp_path: Path
) -> None:
    spared = ("memory=int8", "memory.checkpointing=full", "memory.offload_blocks=0.5", "optimizer.lr=1e-2")
    config = turbo_config(tiny_zimage_folder, pictures, *STAGE_TWO, *spared, cache=cache, assistant=assistant)

    result = finished(config, tmp_path / "run")

    assert result["status"] == "finished"
    assert result["memory"]["precision"] == "int8"
    assert len(logged(tmp_path / "run", "loss/dm")) == 3


@pytest.mark.slow
def test_a_watched_run_looks_at_the_student_alone_and_goes_on_as_if_unwatched(
    tiny_zimage_folder: Path,
    pictures: Path,
    cache: Path,
    assistant: Path,
    trained: dict[str, Path],
    tmp_path: Path,
) -> None:
    watched = ("watch.every=2", "watch.long_steps=3", "watch.num_prompts=1", "optimizer.lr=1e-2")
    config = turbo_config(
        tiny_zimage_folder, pictures, *STAGE_TWO, *watched, cache=cache, assistant=assistant
    )

    result = finished(config, tmp_path / "run")

    mine, theirs = (
        load_file(folder / "adapter.safetensors") for folder in (trained["dm_aware"], tmp_path / "run")
    )
    assert set(result["watch"]["readings"]) == {"2", "4", "6"}
    assert all(torch.equal(tensor, theirs[key]) for key, tensor in mine.items())


def test_a_cold_start_leaves_what_was_learned_to_the_teacher(
    tiny_zimage_folder: Path,
    pictures: Path,
    cache: Path,
    assistant: Path,
    trained: dict[str, Path],
    tmp_path: Path,
) -> None:
    cold = ("objective.stage2.warm_start=false", "optimizer.lr=1e-2")
    config = turbo_config(tiny_zimage_folder, pictures, *STAGE_TWO, *cold, cache=cache, assistant=assistant)

    finished(config, tmp_path / "run")

    kept, warm = (
        checkpoint(folder)["distribution"]["adapters"] for folder in (tmp_path / "run", trained["dm_aware"])
    )
    assert all(torch.equal(tensor, warm[TEACHER][key]) for key, tensor in kept[TEACHER].items())
    sizes = [sum(t.norm() for k, t in each[STUDENT].items() if "lora_B" in k) for each in (kept, warm)]
    assert 0 < sizes[0] < sizes[1]


def test_a_teacher_of_an_earlier_run_leaves_the_second_stage_alone(
    trained: dict[str, Path],
    tiny_zimage_folder: Path,
    pictures: Path,
    cache: Path,
    assistant: Path,
    tmp_path: Path,
) -> None:
    teacher = trained["adapter"] / "adapter.safetensors"
    overrides = (
        f"objective.teacher='{teacher}'", "objective.preset=dm_aware", "steps=2", "adapter.alpha=8",
        "optimizer.lr=1e-9",
    )  # fmt: skip
    config = turbo_config(tiny_zimage_folder, pictures, *overrides, cache=cache, assistant=assistant)

    finished(config, tmp_path)

    written, again = load_file(teacher), load_file(tmp_path / "adapter.safetensors")
    assert list(logged(tmp_path, "train/stage").values()) == [2.0, 2.0]
    assert all(torch.allclose(written[key], again[key], atol=1e-6) for key in written)  # whatever alpha is
    assert set(checkpoint(tmp_path)["distribution"]["adapters"]) == {STUDENT, TEACHER, FAKE}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("objective.teacher=nowhere.safetensors",), "nowhere.safetensors does not exist"),
        (("objective.teacher='{teacher}'", "adapter.rank=2"), "not of this run's shape"),
        (("objective.teacher='{teacher}'", "objective.stage2.steps=2"), "stage2.steps=2 has no effect"),
        (
            ("objective.teacher='{teacher}'", "objective.preset=adapter"),
            "every weight of the second stage is 0",
        ),
    ],
)
def test_what_a_teacher_cannot_be_combined_with(
    trained: dict[str, Path],
    tiny_zimage_folder: Path,
    pictures: Path,
    cache: Path,
    assistant: Path,
    tmp_path: Path,
    overrides: tuple[str, ...],
    message: str,
) -> None:
    named = [text.format(teacher=trained["adapter"] / "adapter.safetensors") for text in overrides]
    config = turbo_config(
        tiny_zimage_folder, pictures, "objective.preset=coupled", *named, cache=cache, assistant=assistant
    )

    with pytest.raises(UserError, match=message):
        finished(config, tmp_path)
