"""Training sees what the family sees: the same velocities, spectrograms, prompts and latents; scores know the truth."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from loralab.data.moving.frames import draw_clips
from loralab.data.moving.scene import FPS, FRAMES, SIDE, draw_scene
from loralab.data.moving.sound import draw_sounds
from loralab.denoiser import ClipSampling
from loralab.errors import UserError
from loralab.families.ltx_video import LtxVideo
from loralab.families.ltx_video.encoders.mel import LogMel
from loralab.families.ltx_video.network import Modality, Reference, predict
from loralab.families.ltx_video.positions import audio_bounds, reference_bounds, video_bounds
from loralab.families.ltx_video.tokens import grid_of, pack_audio, pack_video, reference_grid
from loralab.nano.fit import Fit
from loralab.nano.ltx.bank import Batch, encode_scenes, read_captions
from loralab.nano.ltx.draw import Drawn, draw, load_twin
from loralab.nano.ltx.export import LIMIT_BYTES, export_ltx
from loralab.nano.ltx.parts import (
    build_audio_vae,
    build_connectors,
    build_transformer,
    build_video_vae,
    build_vocoder,
)
from loralab.nano.ltx.plots import plot_curves
from loralab.nano.ltx.score import asked, table, truth
from loralab.nano.ltx.sound import spectrograms
from loralab.nano.ltx.train import first_frames, noise_of, velocity_losses
from loralab.nano.ltx.velocity import NUM_TOKENS, Pair, velocities

PROMPT = "zigzag, the fox face, from the left, moving right fast, blue background"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a twin whose weights are all random, its latents' statistics too."""
    torch.manual_seed(1)
    out = tmp_path_factory.mktemp("ltx")
    networks = nn.ModuleList([build_connectors(), build_transformer()])
    for parameter in networks.parameters():
        nn.init.normal_(parameter, std=0.1)
    video, audio, vocoder = build_video_vae(), build_audio_vae(), build_vocoder()
    for vae in (video, audio):
        vae.latents_mean.normal_(0, 0.3)
        vae.latents_std.uniform_(0.5, 1.5)
    for name, modules in (
        ("ltx_video_vae", {"vae": video}),
        ("ltx_audio_vae", {"vae": audio}),
        ("ltx_vocoder", {"vocoder": vocoder}),
        ("ltx", {"average": networks}),
    ):
        Fit(name, out, modules=modules, parameters=vocoder.parameters(), peak_lr=1e-3).save()
    assert export_ltx(out, folder=out / "ltx23") <= LIMIT_BYTES
    return out / "ltx23"


@pytest.fixture(scope="module")
def model(folder: Path) -> LtxVideo:
    sampling = ClipSampling(num_steps=2, width=SIDE, height=SIDE, num_frames=FRAMES, fps=FPS)
    return LtxVideo(name="nano_ltx", checkpoint=str(folder), sampling=sampling, max_prompt_length=32)


def test_velocities_are_the_familys() -> None:
    transformer = build_transformer().requires_grad_(False)
    for parameter in transformer.parameters():
        nn.init.normal_(parameter, std=0.1)
    tokens = Pair(torch.randn(2, NUM_TOKENS, 48), torch.randn(2, 36, 32))
    prompts, sigmas = (
        Pair(torch.randn(2, 32, 192), torch.randn(2, 32, 64)),
        Pair(torch.rand(2), torch.rand(2)),
    )
    given, control = torch.rand(2, NUM_TOKENS) < 0.3, torch.randn(2, 27, 48)
    grid, fps = grid_of(width=SIDE, height=SIDE, num_frames=FRAMES), torch.full((2,), float(FPS))
    place = reference_bounds(reference_grid(grid, spatial_factor=2), fps, spatial_factor=2)

    ours = velocities(transformer, tokens, sigmas=sigmas, prompts=prompts, given=given, control=control)
    theirs = predict(
        transformer,
        video=Modality(
            tokens.video,
            video_bounds(grid, fps),
            prompts.video,
            sigmas.video,
            conditioned=given,
            reference=Reference(control, place),
        ),
        audio=Modality(tokens.audio, audio_bounds(36, batch_size=2), prompts.audio, sigmas.audio),
    )

    torch.testing.assert_close(tuple(ours), tuple(theirs))
    assert float(ours.video.std()) > 0.05


def test_spectrograms_are_the_familys() -> None:
    sound = draw_sounds([draw_scene(0, index=index) for index in range(2)])

    torch.testing.assert_close(spectrograms(sound)[1], LogMel()(sound[1]), rtol=1e-3, atol=1e-3)


def test_a_folder_tells_and_shows_the_family_what_training_was_given(folder: Path, model: LtxVideo) -> None:
    twin, scene = load_twin(folder, device=torch.device("cpu")), draw_scene(0, index=0)

    prompt = model.encode_prompts([PROMPT])[0]
    states, mask = read_captions(twin.text_encoder, twin.tokenizer, captions=[PROMPT])
    video, audio, _ = twin.connectors(states, mask, padding_side="left")
    seen, heard = encode_scenes(twin.vae, twin.audio_vae, [scene])

    assert mask.sum() == 17
    torch.testing.assert_close(prompt.video.float(), video[0].detach(), atol=0.05, rtol=0.05)
    torch.testing.assert_close(prompt.audio.float(), audio[0].detach(), atol=0.05, rtol=0.05)
    latents = model.encode_video(draw_clips([scene]).pixels)
    torch.testing.assert_close(pack_video(latents), seen, atol=1e-4, rtol=1e-4)
    sounds = model.encode_audio(draw_sounds([scene])[0])
    torch.testing.assert_close(pack_audio(sounds[None]), heard, atol=1e-3, rtol=1e-3)


def test_a_twin_draws_a_clip_with_sound(folder: Path) -> None:
    twin = load_twin(folder, device=torch.device("cpu"))
    controls = torch.zeros(1, FRAMES, SIDE // 2, SIDE // 2, 3, dtype=torch.uint8)

    drawn = draw(twin, [PROMPT], controls=controls, num_steps=1)

    assert drawn.pixels.shape == (1, FRAMES, SIDE, SIDE, 3)
    assert drawn.sound.shape == (1, 2, 141 * 160)


def test_every_weight_learns_but_what_is_given_is_no_error() -> None:
    networks = nn.ModuleList([build_connectors(), build_transformer()])
    generator = torch.Generator().manual_seed(0)
    batch = Batch(
        torch.randn(4, NUM_TOKENS, 48),
        torch.randn(4, 36, 32),
        torch.randn(4, 32, 64, 3),
        (torch.arange(32) >= 20).long().expand(4, -1),
    )
    given = first_frames(batch, generator=generator)

    video, audio = velocity_losses(networks, batch, level=noise_of(batch, generator=generator), given=given)
    (video + audio).backward()

    assert 0 < int(given.sum()) < given.numel()
    idle = [name for name, parameter in networks.named_parameters() if parameter.grad is None]
    assert not idle


def test_scores_are_perfect_on_true_clips_and_poor_on_exchanged_ones() -> None:
    scenes = asked(6, seen=False)
    true = truth(scenes)

    right = table(scenes, true)
    wrong = table(scenes, Drawn(true.pixels.roll(1, 0), true.sound.roll(1, 0)))

    assert {name for name, row in right.items() if row["share"] < 1} == set()
    assert wrong["name"]["share"] <= 1 / 3
    assert wrong["pitch"]["share"] < 0.7
    assert wrong["together"]["share"] == 1


def test_a_folder_that_is_not_there_names_the_command_that_writes_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--folder .* export_ltx"):
        load_twin(tmp_path / "ltx23")
    with pytest.raises(UserError, match=r"ltx_state\.pt is not there.*train_ltx "):
        export_ltx(tmp_path, folder=tmp_path / "ltx23")
    with pytest.raises(UserError, match=r"ltx_vocoder_log\.jsonl"):
        plot_curves(tmp_path, path=tmp_path / "curves.png")
