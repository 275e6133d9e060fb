"""Trains the nano LTX-Video's video VAE on clips that are drawn for every step, where they are used.

    e = decoded - pixels,  c = two differences of e's colours (green against magenta, red against blue)
    loss = mean w (|e| + e^2 / 2 + 0.7 |c|) + 1e-6 KL,    w = (1 + 8 cover) / mean(1 + 8 cover)

Every eighth batch is of half-size controls, edges and curves of dots, which an adapter's references will be. The emoji
covers about a twelfth of a picture, the rest is plain: without w most of the loss would be a colour. KL is summed over
a clip. At the end the mean and deviation of each channel of the latents are written into the VAE, which is how
LTX-Video normalises them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from loralab.data.emoji.atlas import names
from loralab.data.moving.concepts import random_nodes
from loralab.data.moving.controls import HALF
from loralab.data.moving.frames import Clips, draw_clips
from loralab.data.moving.motion import motion_of
from loralab.data.moving.scene import ACTIONS, FRAMES, NAMES, SIDE, Scene, draw_scene, vary
from loralab.nano.fit import Fit, best_device
from loralab.nano.ltx.controls import like_controls
from loralab.nano.ltx.parts import build_video_vae
from loralab.nano.vae import COLOUR_DIFFERENCES, COLOUR_WEIGHT, KL_WEIGHT

COVER_WEIGHT = 8.0
KNOWN_SHARE, PERMUTED_SHARE = 0.75, 0.2
CONTROL_EVERY = 8
NUM_MEASURED, STATISTICS_CHUNK = 512, 32


def train_video_vae(
    out: Path,
    *,
    minutes: float,
    batch_size: int,
    peak_lr: float,
    resume: bool,
    side: int = SIDE,
    frames: int = FRAMES,
    num_measured: int = NUM_MEASURED,
    seed: int = 0,
) -> None:
    """Trains for `minutes`, then measures the latents; leaves `ltx_video_vae_state.pt`.

    Args:
        out: folder of states and logs.
        minutes: the whole budget, earlier parts included.
        batch_size: clips in a step.
        peak_lr: learning rate after warm-up.
        resume: go on from the state in `out`.
        side: smaller clips train on a window of this side around the emoji, multiple of 32.
        frames: leading frames of a clip to train on, 8 k + 1.
        num_measured: clips whose latents are measured at the end.
        seed: of weights and clips.
    """
    device = best_device()
    torch.manual_seed(seed)
    vae: Any = build_video_vae().to(device)
    fit = Fit("ltx_video_vae", out, modules={"vae": vae}, parameters=vae.parameters(), peak_lr=peak_lr)
    fit.resume(resume)
    rng = np.random.default_rng([seed, fit.step])
    torch.manual_seed(seed + fit.step)

    def loss_of() -> tuple[Tensor, dict[str, float]]:
        scenes = [any_scene(rng) for _ in range(batch_size)]
        if fit.step % CONTROL_EVERY == 1:
            clips = like_controls(draw_clips(scenes, device=device, side=HALF), scenes)
        else:
            clips = windowed(draw_clips(scenes, device=device), scenes, side=side, frames=frames, rng=rng)
            clips = clips._replace(pixels=permuted(clips.pixels, rng=rng))
        with torch.autocast(device.type, torch.bfloat16):
            posterior = vae.encode(clips.pixels).latent_dist
            decoded = vae.decode(posterior.sample()).sample
        loss, mse = reconstruction_loss(decoded, clips)
        return loss + KL_WEIGHT * posterior.kl().mean(), {"mse": mse}

    fit.run(loss_of, minutes=minutes)
    measure(vae, device=device, count=num_measured, seed=seed)
    fit.save()


def any_scene(rng: np.random.Generator) -> Scene:
    """Any clip whatever, seen or held out, of any look and any emoji: the VAE knows no captions."""
    pool = NAMES if rng.random() < KNOWN_SHARE else names()
    scene = Scene(name=pool[rng.integers(len(pool))], action=ACTIONS[rng.integers(len(ACTIONS))])
    scene = vary(scene, rng)
    kind = rng.random()
    if kind < 0.1:
        return dataclasses.replace(scene, look="curve", nodes=random_nodes(rng))
    return dataclasses.replace(scene, look="zigzag") if kind < 0.2 and any(scene.step) else scene


def reconstruction_loss(
    decoded: Float[Tensor, " b 3 f h w"], clips: Clips
) -> tuple[Float[Tensor, ""], float]:
    """The weighted loss, and the mean squared error of all pixels alone."""
    error = decoded.float() - clips.pixels
    weight = 1 + COVER_WEIGHT * clips.cover
    weight = weight / weight.mean()
    colour = torch.einsum("kc,bcfhw->bkfhw", error.new_tensor(COLOUR_DIFFERENCES), error)
    each = error.abs() + 0.5 * error.square()
    loss = (weight * each).mean() + COLOUR_WEIGHT * (weight * colour.abs()).mean()
    return loss, error.detach().square().mean().item()


def windowed(
    clips: Clips, scenes: Sequence[Scene], *, side: int, frames: int, rng: np.random.Generator
) -> Clips:
    """The first frames of a window around each emoji's way; all of a clip if that is its size."""
    if side == SIDE and frames == FRAMES:
        return clips
    cuts = []
    for row, scene in enumerate(scenes):
        centre = motion_of(scene).centres[:frames].mean(0) + rng.uniform(-0.2, 0.2, 2) * side
        left, top = (int(np.clip(place - side / 2, 0, SIDE - side)) for place in centre)
        cuts.append((row, ..., slice(0, frames), slice(top, top + side), slice(left, left + side)))
    return Clips(*(torch.stack([part[cut] for cut in cuts]) for part in clips))


def permuted(pixels: Float[Tensor, " b 3 f h w"], *, rng: np.random.Generator) -> Float[Tensor, " b 3 f h w"]:
    """The batch with the colour channels of some clips exchanged."""
    orders = np.stack(
        [rng.permutation(3) if rng.random() < PERMUTED_SHARE else np.arange(3) for _ in range(len(pixels))]
    )
    index = torch.from_numpy(orders).to(pixels.device)[:, :, None, None, None]
    return pixels.gather(1, index.expand_as(pixels))


@torch.no_grad()
def measure(vae: Any, *, device: torch.device, count: int, seed: int) -> None:
    """Writes the mean and deviation of each latent channel over clips of the base's kind into the VAE."""
    chunks = []
    for start in range(0, count, STATISTICS_CHUNK):
        scenes = [
            draw_scene(seed, index=index) for index in range(start, min(start + STATISTICS_CHUNK, count))
        ]
        chunks.append(vae.encode(draw_clips(scenes, device=device).pixels).latent_dist.mode())
    latents = torch.cat(chunks).float()
    vae.latents_mean.copy_(latents.mean((0, 2, 3, 4)))
    vae.latents_std.copy_(latents.std((0, 2, 3, 4)))


def load_video_vae(out: Path) -> Any:
    """The VAE of the training in `out`, frozen."""
    vae = build_video_vae()
    state = torch.load(out / "ltx_video_vae_state.pt", map_location="cpu", weights_only=True)
    vae.load_state_dict(state["vae"])
    return vae.eval().requires_grad_(False)
