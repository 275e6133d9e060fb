"""Trains the nano LTX-Video's connectors and transformer together on the bank of clips, by velocity regression.

    x = (1 - sigma) z + sigma e,      loss = |v_video - (e - z)|^2 + |v_audio - (e' - z')|^2
    sigma = 1 / (1 + exp(-n)), n ~ N(0.3, 1.2)

Half of the clips have one sigma for video and sound, the other half two. One in sixteen has its video given (sigma 0,
no loss) and one in sixteen its sound; in every fourth step, half of the clips have their first frame given. So the base
knows text, first frame, video and sound as conditions, as LTX-2.3 does. The text encoder is frozen. Sampling uses the
average of the weights over about the last 1,500 steps.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from loralab.flow.path import interpolate, target_velocity
from loralab.nano.fit import Fit, best_device
from loralab.nano.ltx.bank import Batch, build_bank
from loralab.nano.ltx.parts import build_connectors, build_gemma, build_transformer
from loralab.nano.ltx.sound import load_audio_vae
from loralab.nano.ltx.velocity import FRAME_TOKENS, Pair, velocities
from loralab.nano.ltx.video_vae import load_video_vae
from loralab.nano.ltx.words import build_tokenizer
from loralab.nano.train_klein import follow

MEAN, STD = 0.3, 1.2
FROZEN_SHARE = 1 / 16
FIRST_FRAME_EVERY = 4


def train_ltx(
    out: Path,
    *,
    minutes: float,
    batch_size: int,
    peak_lr: float,
    num_clips: int,
    resume: bool,
    compiled: bool = False,
    eager: bool = False,
    began: float | None = None,
    seed: int = 0,
) -> None:
    """Trains for `minutes` from `began` on, the bank included; leaves `ltx_state.pt`, weights averaged too.

    Args:
        out: folder of states and logs; both VAEs are there.
        minutes: the whole budget, earlier parts included.
        batch_size: clips in a step.
        peak_lr: learning rate after warm-up.
        num_clips: clips that are encoded before the first step.
        resume: go on from the state in `out`.
        compiled: compile the blocks too; it takes minutes.
        eager: record no CUDA graphs.
        began: `time.monotonic()` when the command began.
        seed: of weights, clips and noise.
    """
    device, tokenizer = best_device(), build_tokenizer()
    torch.manual_seed(seed)
    transformer: Any = build_transformer()
    networks = nn.ModuleList([build_connectors(), transformer]).to(device)
    average = copy.deepcopy(networks).requires_grad_(False)
    fit = Fit(
        "ltx",
        out,
        modules={"networks": networks, "average": average},
        parameters=networks.parameters(),
        peak_lr=peak_lr,
        began=began,
        is_recorded=device.type == "cuda" and not eager,
    )
    fit.resume(resume)
    bank = build_bank(
        load_video_vae(out),
        load_audio_vae(out),
        build_gemma(len(tokenizer)),
        tokenizer,
        num_clips=num_clips,
        seed=seed,
        device=device,
    )
    generator = torch.Generator(device).manual_seed(seed + fit.step)
    if compiled:
        transformer.compile_repeated_blocks()

    def draw() -> tuple[Tensor, ...]:
        batch = bank.draw(batch_size, generator=generator)
        level = noise_of(batch, generator=generator)
        given = [first_frames(batch, generator=generator)] if fit.step % FIRST_FRAME_EVERY == 0 else []
        return (*vars(batch).values(), *level.sigmas, *level.noises, *given)

    def loss_of(*drawn: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        batch, level = Batch(*drawn[:4]), Level(Pair(*drawn[4:6]), Pair(*drawn[6:8]))
        with torch.autocast(device.type, torch.bfloat16):
            video, audio = velocity_losses(
                networks, batch, level=level, given=drawn[8] if drawn[8:] else None
            )
        return video + audio, {"video": video.detach(), "audio": audio.detach()}

    fit.run(
        loss_of,
        minutes=minutes,
        draw=draw,
        warmup_steps=200,
        after_step=lambda step: follow(average, networks, step=step),
    )


class Level(NamedTuple):
    """How much noise a batch is given, `[b]` each, and which, shaped as its tokens."""

    sigmas: Pair
    noises: Pair


def noise_of(batch: Batch, *, generator: torch.Generator) -> Level:
    """Random noise for a batch."""
    noises = (
        torch.randn(part.shape, generator=generator, device=part.device)
        for part in (batch.video, batch.audio)
    )
    return Level(draw_sigmas(len(batch.video), generator=generator), Pair(*noises))


def velocity_losses(
    networks: nn.ModuleList, batch: Batch, *, level: Level, given: Bool[Tensor, " b n"] | None
) -> Pair:
    """Mean squared errors of the velocities of video and sound, where they are not given."""
    connectors, transformer = networks
    prompts = Pair(*connectors(batch.states, batch.mask, padding_side="left")[:2])
    clean, (sigmas, noises) = Pair(batch.video, batch.audio), level
    noisy = Pair(*map(interpolate, clean, noises, sigmas))
    if given is not None:
        noisy = noisy._replace(video=torch.where(given[..., None], clean.video, noisy.video))
    answers = velocities(transformer, noisy, sigmas=sigmas, prompts=prompts, given=given)
    learnt = [(sigma > 0)[:, None].expand(part.shape[:2]) for sigma, part in zip(sigmas, clean, strict=True)]
    if given is not None:
        learnt[0] = learnt[0] & ~given
    errors = [answer - target_velocity(*pair) for answer, *pair in zip(answers, clean, noises, strict=True)]
    return Pair(*map(masked_error, errors, learnt))


def draw_sigmas(count: int, *, generator: torch.Generator) -> Pair:
    """Noise levels of video and sound: one or two for a clip, seldom 0 for one of them."""
    device = generator.device
    drawn = torch.sigmoid(torch.randn(2, count, generator=generator, device=device) * STD + MEAN)
    kind = torch.rand(2, count, generator=generator, device=device)
    audio = torch.where(kind[0] < 0.5, drawn[0], drawn[1])
    video = drawn[0].masked_fill(kind[1] < FROZEN_SHARE, 0)
    return Pair(video, audio.masked_fill(kind[1] > 1 - FROZEN_SHARE, 0))


def first_frames(batch: Batch, *, generator: torch.Generator) -> Bool[Tensor, " b n"]:
    """Which tokens are given when half of the clips have their first frame given."""
    size, count = batch.video.shape[:2]
    chosen = torch.rand(size, 1, generator=generator, device=batch.video.device) < 0.5
    return chosen & (torch.arange(count, device=batch.video.device) < FRAME_TOKENS)


def masked_error(error: Float[Tensor, " b n c"], learnt: Bool[Tensor, " b n"]) -> Float[Tensor, ""]:
    """Mean of the squared error of the tokens that are learnt."""
    each = error.float().square().mean(2)
    return (each * learnt).sum() / learnt.sum().clamp(min=1)
