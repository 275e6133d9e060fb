from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import lightning
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils.data import DataLoader

from loralab.adapter import LoraSpec, adapter_state, inject
from loralab.adapter.lora import add_lora, named_tensors
from loralab.data import Batch
from loralab.denoiser import Sampling
from loralab.errors import UserError
from loralab.families.z_image import ZImage
from loralab.flow import LogitNormal
from loralab.flow.weighting import ConstantWeighting
from loralab.loggers import JsonlLogger
from loralab.loggers.jsonl import read_metrics
from loralab.memory import Placement
from loralab.objectives import FlowMatching
from loralab.optim import Schedule
from loralab.training.trainer import build_trainer, fit
from loralab.training.watch import FewStepWatch, Watched, WatchSettings, watched_texts
from loralab.training.watched import PRIOR

SETTINGS = WatchSettings(every=2, num_prompts=1, long_steps=3)
SPEC = LoraSpec(rank=2, alpha=2, targets="attention")


@pytest.fixture
def turbo(tiny_zimage_folder: Path) -> ZImage:
    """A tiny few-step checkpoint whose transformer carries a fresh student."""
    denoiser = ZImage(
        name="turbo",
        checkpoint=str(tiny_zimage_folder),
        sampling=Sampling(num_steps=2, guidance_scale=0.0, height=64, width=64),
        variant="distilled",
        max_prompt_length=16,
    )
    denoiser.place(Placement(torch.device("cpu"), torch.float32))
    inject(denoiser.transformer, SPEC, pattern=denoiser.target_pattern("attention"))
    return denoiser


def watched() -> Watched:
    source = torch.Generator().manual_seed(3)
    texts = watched_texts(SETTINGS, concept=["sks, a cat"], prior=["a dog"])
    return texts.embedded(lambda _: torch.randn((6, 16), generator=source))


def held_out() -> Batch:
    source = torch.Generator().manual_seed(5)
    return Batch(
        latents=torch.randn((2, 16, 8, 8), generator=source),
        prompt_embeds=[torch.randn((6, 16), generator=source) for _ in range(2)],
        weight=torch.ones(2),
        mask=None,
        index=0,
        captions=("one", "two"),
        keys=("a", "b"),
    )


def trained(
    denoiser: ZImage, folder: Path, *callbacks: lightning.Callback, lr: float = 1e-2
) -> lightning.Trainer:
    module = FlowMatching(
        denoiser,
        sigmas=LogitNormal(),
        weighting=ConstantWeighting(),
        optimizer=partial(torch.optim.AdamW, lr=lr),
        schedule=partial(Schedule(decay="constant"), num_steps=4),
        seed=0,
    )
    trainer = build_trainer(
        partial(lightning.Trainer, accelerator="cpu"),
        num_steps=4,
        accumulate=1,
        loggers=[JsonlLogger(folder / "metrics.jsonl")],
        callbacks=callbacks,
    )
    fit(trainer, module, loader=DataLoader([held_out()] * 4, batch_size=None), resume_from=None)
    return trainer


def randomised(denoiser: ZImage, name: str, *, size: float = 0.2) -> None:
    source = torch.Generator().manual_seed(sum(map(ord, name)))
    with torch.no_grad():
        for tensor in named_tensors(denoiser.transformer, name=name).values():
            tensor.copy_(size * torch.randn(tensor.shape, generator=source))


def test_a_look_logs_all_signals_and_keeps_few_steps_beside_many(turbo: ZImage, tmp_path: Path) -> None:
    watch = FewStepWatch(turbo, settings=SETTINGS, prompts=watched(), folder=tmp_path)

    trained(turbo, tmp_path, watch)

    lines = read_metrics(tmp_path / "metrics.jsonl")
    assert [line["step"] for line in lines] == [2, 4]
    signals = {
        "x0/hf",
        "x0/std",
        "retain/drift",
        "retain/nfe_gap",
        "retain/sharpness",
        "lora/norm",
        "watch/seconds",
    }
    assert lines[-1].keys() == {"step", *signals}
    assert lines[-1]["lora/norm"] > 0 and lines[-1]["retain/drift"] > 0
    with Image.open(tmp_path / "watch" / "step_000004.png") as picture:
        assert picture.width > 3 * 192
    assert json.loads(json.dumps(watch.summary()))["readings"]["4"]["x0/hf"] == lines[-1]["x0/hf"]


def test_all_that_is_drawn_is_measured_apart_from_steps_and_the_log_says_what_it_took(
    turbo: ZImage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    inside, decoded = [False], []

    @contextlib.contextmanager
    def measured() -> Iterator[None]:
        inside[0] = True
        yield
        inside[0] = False

    def note(module: nn.Module, inputs: object) -> None:
        if type(module).__name__ == "Decoder":
            decoded.append(inside[0])

    watch = FewStepWatch(turbo, settings=SETTINGS, prompts=watched(), folder=tmp_path, measured=measured)
    handle = register_module_forward_pre_hook(note)

    with caplog.at_level(logging.INFO, logger="loralab.training.watch"):
        trained(turbo, tmp_path, watch)

    handle.remove()
    assert len(decoded) == 5 * len(watched().prompts.texts) and all(decoded)
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert f"{len(watched().prompts.texts)} pictures of 64x64 drawn in" in said[0]
    assert [line.partition(" in ")[0] for line in said[1:]] == [
        "watch: looked at step 2",
        "watch: looked at step 4",
    ]


def test_a_student_that_has_learned_nothing_is_the_untouched_checkpoint(
    turbo: ZImage, tmp_path: Path
) -> None:
    watch = FewStepWatch(turbo, settings=SETTINGS, prompts=watched(), folder=tmp_path)

    trained(turbo, tmp_path, watch, lr=1e-30)

    last = watch.metrics[4]
    assert last["x0/hf"] == pytest.approx(1.0, abs=1e-5)
    assert last["x0/std"] == pytest.approx(1.0, abs=1e-5)
    assert last["retain/drift"] == pytest.approx(0.0, abs=1e-5)


def test_watching_changes_nothing_of_what_is_trained(turbo: ZImage, tmp_path: Path) -> None:
    start = adapter_state(turbo.transformer)
    trained(turbo, tmp_path / "alone")
    alone = adapter_state(turbo.transformer)
    with torch.no_grad():
        for key, tensor in named_tensors(turbo.transformer).items():
            tensor.copy_(start[key])

    trained(
        turbo,
        tmp_path / "watched",
        FewStepWatch(turbo, settings=SETTINGS, prompts=watched(), folder=tmp_path),
    )

    both = adapter_state(turbo.transformer)
    assert any(not torch.equal(start[key], alone[key]) for key in start)
    assert all(torch.equal(alone[key], both[key]) for key in alone)


@pytest.mark.slow
def test_the_student_is_looked_at_alone_whatever_else_is_active(turbo: ZImage, tmp_path: Path) -> None:
    quiet = FewStepWatch(turbo, settings=SETTINGS, prompts=watched(), folder=tmp_path / "a")
    trained(turbo, tmp_path / "a", quiet, lr=1e-30)
    names = {
        key.removesuffix(".lora_A.weight"): 2 for key in named_tensors(turbo.transformer) if "lora_A" in key
    }
    add_lora(turbo.transformer, SPEC, ranks=names, name="assistant")
    randomised(turbo, "assistant")
    for parameter in named_tensors(turbo.transformer, name="assistant").values():
        parameter.requires_grad_(False)
    turbo.transformer.set_adapters(["adapter", "assistant"])
    for parameter in named_tensors(turbo.transformer, name="assistant").values():
        parameter.requires_grad_(False)

    beside = FewStepWatch(turbo, settings=SETTINGS, prompts=watched(), folder=tmp_path / "b")
    trained(turbo, tmp_path / "b", beside, lr=1e-30)

    assert beside.metrics[4]["retain/drift"] == pytest.approx(0.0, abs=1e-5)
    assert beside.metrics[4]["x0/hf"] == pytest.approx(quiet.metrics[4]["x0/hf"], abs=1e-5)


@pytest.mark.slow
def test_the_excess_is_that_of_the_student_alone_over_teacher_and_assistant(
    turbo: ZImage, tmp_path: Path
) -> None:
    names = {
        key.removesuffix(".lora_A.weight"): 2 for key in named_tensors(turbo.transformer) if "lora_A" in key
    }
    for name in ("assistant", "teacher"):
        add_lora(turbo.transformer, SPEC, ranks=names, name=name)
        randomised(turbo, name, size=1.0)
    randomised(turbo, "adapter")
    for name in ("assistant", "teacher"):
        for parameter in named_tensors(turbo.transformer, name=name).values():
            parameter.requires_grad_(False)
    turbo.transformer.set_adapters(["adapter"])

    def watch(reference: tuple[str, ...], teacher: str | None = None) -> FewStepWatch:
        made = FewStepWatch(
            turbo,
            settings=SETTINGS,
            prompts=watched(),
            folder=tmp_path,
            batches=[held_out()],
            reference=reference,
            teacher=teacher,
        )
        trained(turbo, tmp_path, made, lr=1e-30)
        return made

    with_both = watch(("assistant", "teacher"), "teacher").metrics[4]
    with_itself = watch(("adapter",)).metrics[4]

    assert with_itself["detector/fm_excess"] == pytest.approx(0.0, abs=1e-6)
    assert abs(with_both["detector/fm_excess"]) > 1e-3
    assert -1 < with_both["lora/cos"] < 1
    assert "lora/cos" not in with_itself


@pytest.mark.slow
def test_an_alarm_is_logged_and_kept_and_ends_the_run_only_where_asked(
    turbo: ZImage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    randomised(turbo, "adapter", size=2.0)
    watch = FewStepWatch(turbo, settings=SETTINGS, prompts=watched(), folder=tmp_path)
    on = trained(turbo, tmp_path, watch)
    stopping = WatchSettings(every=2, num_prompts=1, long_steps=3, stop=True)
    stopped = FewStepWatch(turbo, settings=stopping, prompts=watched(), folder=tmp_path)
    off = trained(turbo, tmp_path, stopped)

    assert "prior_moved" in {alarm["name"] for alarm in watch.summary()["alarms"]}
    assert "alarm at step 2 (prior_moved): prior prompts have drifted by" in caplog.text
    assert (on.global_step, watch.summary()["stopped"]) == (4, None)
    assert (off.global_step, stopped.summary()["stopped"]) == (2, 2)


def test_readings_of_the_objective_are_judged_with_the_rest(turbo: ZImage, tmp_path: Path) -> None:
    gaps = iter([0.4, 0.2])
    watch = FewStepWatch(
        turbo,
        settings=SETTINGS,
        prompts=watched(),
        folder=tmp_path,
        readings=lambda: {"dm/rel_gap": next(gaps), "dm/cos": 0.9},
    )

    trained(turbo, tmp_path, watch)

    assert [reading.rel_gap for reading in watch.history] == [0.4, 0.2]
    assert watch.summary()["best_step"] == 4


@pytest.mark.slow
def test_a_resumed_run_knows_its_earlier_readings(turbo: ZImage, tmp_path: Path) -> None:
    watch = FewStepWatch(turbo, settings=SETTINGS, prompts=watched(), folder=tmp_path)
    trained(turbo, tmp_path, watch)
    again = FewStepWatch(turbo, settings=SETTINGS, prompts=watched(), folder=tmp_path)

    again.load_state_dict(json.loads(json.dumps(watch.state_dict())))

    assert again.history == watch.history
    assert again.summary() == watch.summary()


def test_without_pictures_latents_are_measured_and_nothing_is_decoded(turbo: ZImage, tmp_path: Path) -> None:
    settings = WatchSettings(every=4, num_prompts=1, long_steps=3, pictures=False)
    watch = FewStepWatch(turbo, settings=settings, prompts=watched(), folder=tmp_path)

    trained(turbo, tmp_path, watch)

    assert "x0/hf" in watch.metrics[4]
    assert not (tmp_path / "watch").exists()


def test_a_run_that_is_not_watched_looks_at_nothing(turbo: ZImage, tmp_path: Path) -> None:
    settings = WatchSettings(every=0)
    watch = FewStepWatch(turbo, settings=settings, prompts=watched(), folder=tmp_path)

    trained(turbo, tmp_path, watch)

    assert watched_texts(settings, concept=["a cat"]).texts == ()
    assert watch.metrics == {}


def test_prior_prompts_are_the_users_then_the_concepts_then_built_in() -> None:
    def prior(settings: WatchSettings, known: tuple[str, ...] = ()) -> tuple[str, ...]:
        return watched_texts(settings, concept=["a", "a", "b"], prior=known).prior

    assert prior(WatchSettings(prior=["mine"]), ("theirs",)) == ("mine",)
    assert prior(WatchSettings(), ("theirs",)) == ("theirs",)
    assert prior(WatchSettings()) == PRIOR[:2]
    assert watched_texts(WatchSettings(), concept=["a", "a", "b"]).concept == ("a", "b")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"every": -1}, "watch.every=-1 must be at least 0"),
        ({"num_prompts": 0}, "watch.num_prompts=0 must be at least 1"),
        ({"prior": []}, r"watch.prior=\[\] watches nothing"),
        ({"every": 0, "stop": True}, "watch.stop=true has no effect"),
    ],
)
def test_a_watch_that_cannot_be_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        WatchSettings(**settings)  # type: ignore[arg-type]


def test_a_teacher_that_does_not_exist_yet_is_no_reference(turbo: ZImage, tmp_path: Path) -> None:
    names = {
        key.removesuffix(".lora_A.weight"): 2 for key in named_tensors(turbo.transformer) if "lora_A" in key
    }
    add_lora(turbo.transformer, SPEC, ranks=names, name="teacher")
    turbo.transformer.set_adapters(["adapter"])
    watch = FewStepWatch(
        turbo,
        settings=SETTINGS,
        prompts=watched(),
        folder=tmp_path,
        batches=[held_out()],
        teacher="teacher",
        reference=("teacher",),
    )

    trained(turbo, tmp_path, watch)

    assert "detector/fm_excess" not in watch.metrics[4]
    assert "lora/cos" not in watch.metrics[4]


def test_a_first_stage_is_measured_and_not_judged(turbo: ZImage, tmp_path: Path) -> None:
    randomised(turbo, "adapter", size=2.0)
    watch = FewStepWatch(turbo, settings=SETTINGS, prompts=watched(), folder=tmp_path, judged_from=2)

    trained(turbo, tmp_path, watch)

    assert list(watch.metrics) == [2, 4]
    assert [reading.step for reading in watch.history] == [4]
    assert {alarm.step for alarm in watch.alarms} == {4}
