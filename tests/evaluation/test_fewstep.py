from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.nn import functional

from loralab.adapter import AdapterMetadata, LoraSpec, adapter_parameters, export_adapter, inject
from loralab.data.records import Record
from loralab.denoiser import Sampling
from loralab.errors import UserError
from loralab.evaluation import Drawing, Evaluation, FeatureNet, FewStepTest, Subject, emoji_concept
from loralab.evaluation.fewstep import FewStepScorer
from loralab.evaluation.fewstep_drawing import FewStepDrawn, draw_few_step, drawn_by, kept
from loralab.evaluation.held_out import held_out_subject
from loralab.families.z_image import ZImage
from loralab.memory import Placement

COUNT = 24


@pytest.fixture
def turbo(tiny_zimage_folder: Path) -> ZImage:
    """A tiny Turbo that draws in two steps without guidance, in fp32 on the CPU."""
    sampling = Sampling(num_steps=2, guidance_scale=0.0, height=64, width=64)
    made = ZImage(
        name="tiny",
        checkpoint=str(tiny_zimage_folder),
        sampling=sampling,
        variant="distilled",
        max_prompt_length=48,
    )
    made.place(Placement(torch.device("cpu"), torch.float32))
    return made


@pytest.fixture
def turbo_adapter(turbo: ZImage, tmp_path: Path) -> Path:
    """An adapter file with random weights, as if trained."""
    inject(
        turbo.transformer,
        LoraSpec(rank=2, alpha=2, targets="attention"),
        pattern=turbo.target_pattern("attention"),
    )
    with torch.no_grad():
        for parameter in adapter_parameters(turbo.transformer):
            parameter.normal_(0, 0.5)
    identity = turbo.identity()
    metadata = AdapterMetadata(
        family=identity.family, model="tiny", checkpoint=identity.checkpoint, base_digest=identity.base_digest,
        objective="flow_matching", rank=2, alpha=2, targets="attention", step=1, config_digest="0" * 64,
    )  # fmt: skip
    path = export_adapter(
        turbo.transformer, tmp_path / "adapter.safetensors", prefix=turbo.export_prefix, metadata=metadata
    )
    turbo.release("transformer")
    return path


@pytest.fixture(scope="module")
def subject() -> Subject:
    return emoji_concept("emoji_linocut").subject.first(COUNT, COUNT)


def test_the_truth_is_what_the_vae_keeps_of_it_where_it_has_the_size_that_is_drawn(turbo: ZImage) -> None:
    pixels = torch.rand(3, 3, 64, 64) * 2 - 1
    subject = Subject(("a", "b", "c"), pixels, ("d",), pixels[:1, :, :48, :40])

    found = kept(turbo, subject, size=(64, 64))

    once = turbo.decode_latents(turbo.encode_pixels(pixels)).clamp(-1, 1)
    assert torch.equal(found.truths, once) and not torch.equal(once, pixels)
    assert found.no_trigger_truths is subject.no_trigger_truths


def test_true_pictures_score_as_a_turbo_that_has_kept_everything(
    subject: Subject, network: FeatureNet
) -> None:
    assert subject.no_trigger_truths is not None
    perfect = FewStepDrawn(few=subject.truths, many=subject.truths, prior=subject.no_trigger_truths)

    figures = FewStepScorer(subject, base=perfect, network=network).score(perfect)

    assert figures["frechet"] == pytest.approx(0, abs=1e-6) == figures["prior_frechet"]
    assert figures["sharpness"] == pytest.approx(1)
    assert figures["precision"] == figures["recall"] == 1
    assert figures["drift"] == 0
    assert figures["accuracy"] > 0.9


def test_pictures_that_are_blurred_at_few_steps_only_have_a_gap(
    subject: Subject, network: FeatureNet
) -> None:
    assert subject.no_trigger_truths is not None
    perfect = FewStepDrawn(few=subject.truths, many=subject.truths, prior=subject.no_trigger_truths)
    noisy = subject.truths + 0.1 * torch.randn_like(subject.truths)
    blurred = functional.avg_pool2d(subject.truths, 5, stride=1, padding=2)
    scorer = FewStepScorer(subject, base=perfect, network=network)

    kept = scorer.score(FewStepDrawn(few=noisy, many=noisy, prior=subject.no_trigger_truths))
    lost = scorer.score(FewStepDrawn(few=blurred, many=noisy, prior=subject.truths))

    assert kept["nfe_gap"] == pytest.approx(1)
    assert lost["nfe_gap"] > 1.3
    assert lost["sharpness"] < 0.6 < kept["sharpness"]
    assert lost["drift"] > 0.2 > kept["drift"]
    assert lost["prior_frechet"] > 3 * kept["prior_frechet"] + 1


def test_pictures_of_the_old_look_are_no_kin_of_the_concept(subject: Subject, network: FeatureNet) -> None:
    assert subject.no_trigger_truths is not None
    unlearnt = FewStepDrawn(few=subject.no_trigger_truths, many=None, prior=None)

    figures = FewStepScorer(subject, base=unlearnt, network=network).score(unlearnt)

    assert figures["accuracy"] < 0.1
    assert "nfe_gap" not in figures and "drift" not in figures


@pytest.mark.slow
def test_figures_come_from_the_file_at_its_own_steps_and_at_32(
    turbo: ZImage, turbo_adapter: Path, tmp_path: Path
) -> None:
    evaluation = Evaluation(
        drawing=Drawing(batch_size=8), fewstep=FewStepTest(num_held_out=8, num_no_trigger=8)
    )

    result = evaluation.run(
        turbo, adapter=turbo_adapter, folder=tmp_path, captions=(), concept=emoji_concept("emoji_linocut")
    )

    figures = json.loads(json.dumps(result))["fewstep"]
    keys = "frechet frechet_32 nfe_gap sharpness prior_frechet drift seconds".split()
    assert all(figures[key] > 0 for key in keys)
    assert figures["nfe_gap"] == pytest.approx(figures["frechet"] / figures["frechet_32"])
    assert figures["base"]["drift"] == 0 and figures["base"]["sharpness"] == pytest.approx(1)
    assert figures["num_held_out"] == 8


def test_many_steps_are_32_and_both_start_from_one_noise(turbo: ZImage, subject: Subject) -> None:
    asked: list[tuple[list[int], int | None]] = []
    drawing = Drawing(batch_size=8, num_steps=1)
    first = subject.first(8, 8)
    prompts = drawing.encode(turbo, first.captions)
    draw = drawn_by(turbo, None, drawing=drawing)

    def counted(prompts: object, seeds: range, num_steps: int | None) -> torch.Tensor:
        asked.append((list(seeds), num_steps))
        return draw(prompts, seeds, num_steps)  # type: ignore[arg-type]

    pictures = draw_few_step(counted, first, prompts=prompts)  # type: ignore[arg-type]

    (few, own), (many, steps), (prior, _) = asked
    assert few == many == list(range(8)) and not set(prior) & set(few)
    assert (own, steps) == (None, 32)
    assert pictures.many is not None and not torch.equal(pictures.few, pictures.many)


@pytest.mark.slow
def test_the_truth_of_a_folder_is_what_was_held_out(
    turbo: ZImage, turbo_adapter: Path, tmp_path: Path
) -> None:
    records = []
    for index in range(9):
        path = tmp_path / f"{index}.png"
        Image.effect_noise((40 + index, 30), 90).convert("RGB").save(path)
        record = Record(key=str(index), path=path, name=path.name, caption="", width=40, height=30)
        records.append(dataclasses.replace(record, prompts=(f"a sks cat, number {index}",)))
    held_out = held_out_subject(records, trigger="sks")
    evaluation = Evaluation(
        drawing=Drawing(batch_size=9), fewstep=FewStepTest(num_held_out=8, num_no_trigger=8)
    )

    result = evaluation.run(turbo, adapter=turbo_adapter, folder=tmp_path, captions=(), held_out=held_out)

    assert held_out is not None and held_out.no_trigger[3] == "a cat, number 3"
    assert result["fewstep"]["prior_frechet"] > 0 and result["fewstep"]["num_held_out"] == 8


def test_prompts_of_ones_own_replace_the_captions_without_the_trigger(subject: Subject) -> None:
    limited = FewStepTest(num_held_out=8, num_no_trigger=8, prompts=["a tree", "a house"]).limited(subject)

    assert limited.no_trigger == ("a tree", "a house") * 4
    assert limited.no_trigger_truths is None and len(limited.truths) == 8


def test_nothing_held_out_and_too_few_are_refused(turbo: ZImage, tmp_path: Path) -> None:
    evaluation = Evaluation(fewstep=FewStepTest())

    with pytest.raises(UserError, match="only 0 pictures are held out"):
        evaluation.run(turbo, adapter=tmp_path / "none", folder=tmp_path, captions=("a cat",))
    with pytest.raises(UserError, match="num_held_out=4 must be at least 8"):
        FewStepTest(num_held_out=4)
