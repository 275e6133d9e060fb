"""What is given is clean and not learned, randomness is a function of (seed, index), every mode means what it says."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from loralab.adapter import LoraSpec, inject
from loralab.data.video import ClipBatch
from loralab.denoiser import AudioInput, ClipSampling, ClipVelocities, VideoInput
from loralab.errors import UserError
from loralab.families.ltx_video import LtxVideo
from loralab.flow import ShiftedLogitNormal
from loralab.flow.weighting import ConstantWeighting
from loralab.objectives import AudioVideoFlow
from loralab.objectives.audio_video_flow import MODES, AudioVideoTraining
from loralab.optim import Schedule

SAMPLING = ClipSampling(num_steps=2, width=64, height=64, num_frames=9, fps=24.0)


class Recorded(LtxVideo):
    """Keeps what it is given, and answers with zeros but where `wrong` says otherwise."""

    wrong: Any = None

    def predict(
        self, *, video: VideoInput | None = None, audio: AudioInput | None = None, **_: Any
    ) -> ClipVelocities:
        self.video, self.audio = video, audio
        answers = [
            None if given is None or given.sigma is None else torch.zeros_like(given.noisy)
            for given in (video, audio)
        ]
        if self.wrong is not None:
            answers[0][:, :, 0] = self.wrong
        return ClipVelocities(*answers)


def denoiser(folder: Path) -> Recorded:
    return Recorded(name="ltx23", checkpoint=str(folder), sampling=SAMPLING, max_prompt_length=16)


def training(model: LtxVideo, *, seed: int = 0, lr: float = 3e-2, **settings: Any) -> AudioVideoTraining:
    objective = AudioVideoFlow(sigmas=ShiftedLogitNormal(), weighting=ConstantWeighting(), **settings)
    return objective(
        model,
        optimizer=partial(torch.optim.AdamW, lr=lr),
        schedule=partial(Schedule(decay="constant"), num_steps=10),
        seed=seed,
    )


def batch(*, index: int = 0, frames: int = 3, **changes: Any) -> ClipBatch:
    source = torch.Generator().manual_seed(5)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=source)

    made: dict[str, Any] = {
        "video": drawn(2, 8, frames, 2, 2),
        "fps": torch.tensor([24.0, 30.0]),
        "audio": drawn(2, 2, 9, 4),
        "video_embeds": drawn(2, 16, 32),
        "audio_embeds": drawn(2, 16, 16),
        "weight": torch.ones(2),
        "captions": ("one", "two"),
        "keys": ("a", "b"),
    }
    return ClipBatch(index=index, **{**made, **changes})


def test_a_given_first_frame_is_clean_and_has_no_part_in_the_loss(tiny_ltx_folder: Path) -> None:
    model = denoiser(tiny_ltx_folder)
    module, shown = training(model, mode="i2v", first_frame=1.0), batch()

    right = module.training_step(shown, 0)["loss"]
    model.wrong = 1e6
    wrong = module.training_step(shown, 0)["loss"]

    assert model.video.conditioned[:, 0].all() and not model.video.conditioned[:, 1:].any()
    assert torch.equal(model.video.noisy[:, :, 0], shown.video[:, :, 0])
    assert not torch.equal(model.video.noisy[:, :, 1], shown.video[:, :, 1])
    assert torch.equal(right, wrong)
    model.wrong = None
    free = training(model, mode="t2v").training_step(shown, 0)["loss"]
    assert free != right and model.video.conditioned is None


def test_first_frames_are_given_as_often_as_typed_and_never_to_pictures(tiny_ltx_folder: Path) -> None:
    model = denoiser(tiny_ltx_folder)
    module, one = training(model, mode="i2v", first_frame=0.25), batch()
    names = ("video", "audio", "fps", "video_embeds", "audio_embeds", "weight")
    many = {name: vars(one)[name].repeat_interleave(16, dim=0) for name in names}
    keys = tuple(map(str, range(32)))
    given = []

    for index in range(3):
        module.training_step(batch(index=index, keys=keys, captions=keys, **many), 0)
        given.append(model.video.conditioned[:, 0, 0, 0])
    module.training_step(batch(frames=1), 0)

    assert [int(chosen.sum()) for chosen in given] == [8, 8, 8]
    assert not torch.equal(given[0], given[1])
    assert not model.video.conditioned.any()


def test_masks_give_what_they_cover_by_more_than_half_and_a_clip_of_nothing_else_has_no_loss(
    tiny_ltx_folder: Path,
) -> None:
    model = denoiser(tiny_ltx_folder)
    video_given, audio_given = torch.zeros(2, 3, 2, 2), torch.zeros(2, 9)
    video_given[0], video_given[1, 0, 0, 0], video_given[1, 1] = 1.0, 0.6, 0.5
    audio_given[0], audio_given[1, :4] = 1.0, 1.0
    shown = batch(video_given=video_given, audio_given=audio_given, weight=torch.tensor([1.0, 0.0]))

    loss = training(model, mode="t2av").training_step(shown, 0)["loss"]

    assert loss == 0
    assert model.video.conditioned[1].sum() == 1 and model.audio.conditioned[1].sum() == 4
    assert torch.equal(model.audio.noisy[1, :, :4], shown.audio[1, :, :4])


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_generates_freezes_or_leaves_out_each_modality(mode: str, tiny_ltx_folder: Path) -> None:
    model, roles = denoiser(tiny_ltx_folder), MODES[mode]
    module, shown = training(model, mode=mode), batch()

    step = module.training_step(shown, 0)

    for given, role, clean in (
        (model.video, roles.video, shown.video),
        (model.audio, roles.audio, shown.audio),
    ):
        assert (given is None) == (role == "absent")
        if role == "frozen":
            assert given.sigma is None and torch.equal(given.noisy, clean)
    assert set(step["signals"]) == ({"train/video", "train/audio"} if mode.endswith("2av") else set())


def test_sigmas_are_drawn_for_each_modality_unless_they_are_shared(tiny_ltx_folder: Path) -> None:
    model = denoiser(tiny_ltx_folder)

    training(model, mode="t2av").training_step(batch(index=3), 0)
    own = model.video.sigma, model.audio.sigma
    training(model, mode="t2av", shared_sigma=True).training_step(batch(index=3), 0)

    assert not torch.equal(*own)
    assert torch.equal(model.audio.sigma, model.video.sigma) and torch.equal(own[0], model.video.sigma)


def test_the_loss_is_the_videos_error_and_the_weighted_one_of_the_sound(tiny_ltx_folder: Path) -> None:
    module = training(denoiser(tiny_ltx_folder), mode="t2av", audio_weight=0.25)

    step, errors = module.training_step(batch(), 0), module.validation_errors(batch(), levels=[0.3, 0.7])

    parts = step["signals"]
    torch.testing.assert_close(step["loss"], parts["train/video"] + 0.25 * parts["train/audio"])
    torch.testing.assert_close(errors["loss"], errors["video"] + 0.25 * errors["audio"])
    assert errors["video"].shape == (2, 2)


def test_noise_depends_on_seed_and_step_and_in_validation_on_the_clip_alone(tiny_ltx_folder: Path) -> None:
    module = training(denoiser(tiny_ltx_folder), mode="t2av")
    losses = {}

    for name, seed, index in (("first", 0, 3), ("again", 0, 3), ("later", 0, 4), ("other", 1, 3)):
        module.seed = seed
        torch.manual_seed(len(losses))
        losses[name] = float(module.training_step(batch(index=index), 0)["loss"])
    fixed = module.validation_errors(batch(index=9), levels=[0.5])["loss"]
    module.seed = 0

    assert losses["first"] == losses["again"]
    assert len(set(losses.values())) == 3
    assert torch.equal(fixed, module.validation_errors(batch(), levels=[0.5])["loss"])
    others = batch(keys=("a", "c"))
    assert not torch.equal(fixed, module.validation_errors(others, levels=[0.5])["loss"])


def test_the_loss_falls_on_a_repeated_batch_with_a_reference_and_sound_is_left_alone(
    tiny_ltx_folder: Path,
) -> None:
    model = LtxVideo(name="ltx23", checkpoint=str(tiny_ltx_folder), sampling=SAMPLING)
    pattern = model.trained_pattern("attention_mlp", has_video=True, has_audio=False)
    names = inject(model.transformer, LoraSpec(rank=4, alpha=4, targets="attention_mlp"), pattern=pattern)
    module = training(model, mode="t2v")
    shown = batch(reference=torch.randn(2, 8, 3, 1, 1), reference_factors=(2, 1))
    optimizer, losses = module.configure_optimizers()["optimizer"], []

    for _ in range(12):
        loss = module.training_step(shown, 0)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    assert losses[-1] < 0.97 * losses[0]
    assert not any("audio" in name for name in names)
    assert all(p.grad is not None for p in module.transformer.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "t2i"}, "objective.mode=t2i is none of t2v, i2v, t2av"),
        ({"audio": "quiet"}, "objective.audio=quiet is none of generate, frozen, absent"),
        ({"mode": "a2v", "video": "frozen"}, "generate nothing; one of them must be generate"),
        ({"mode": "v2a", "first_frame": 0.5}, "objective.first_frame=0.5 has no effect with video frozen"),
        ({"first_frame": 1.5}, "objective.first_frame=1.5 is outside [0, 1]"),
        ({"shared_sigma": True}, "have no effect unless video and audio are generated"),
        ({"mode": "t2av", "audio_weight": 0.0}, "objective.audio_weight=0.0 must be above 0"),
    ],
)
def test_settings_that_cannot_be_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        AudioVideoFlow(sigmas=ShiftedLogitNormal(), weighting=ConstantWeighting(), **settings)

    assert message in str(caught.value)
