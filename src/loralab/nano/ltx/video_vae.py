"""Trains the nano LTX-Video's video VAE on clips that are drawn for every step, where they are used.

    e = decoded - pixels,  c = two differences of e's colours (green against magenta, red against blue)
    loss = mean w (|e| / 2 + 2 e^2 + 0.15 |c|) + 0.001 mean z^2,    w = (1 + 3 cover) / mean(1 + 3 cover)
    decoded = decoder(z + 0.05 noise);   squares lead while errors are large, sharpness comes of |e|

The emoji covers about a twelfth of a picture, the rest is plain: without w most of the loss would be a colour. So most
steps see windows about the emoji, twice as many; every fourth sees whole clips, and one in eight half-size controls,
edges and curves of dots, which an adapter's references will be. The noise of latents is given: the class has one
variance for all channels of a place, which ran away to 5 when it was learnt, and nothing reads it. At the end the mean
and deviation of each channel of the latents are written into the VAE, which is how LTX-Video normalises them.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from loralab.data.emoji.atlas import names
from loralab.data.moving.concepts import random_nodes
from loralab.data.moving.frames import Clips, draw_clips
from loralab.data.moving.scene import ACTIONS, NAMES, Scene, draw_scene, vary
from loralab.nano.fit import Fit, best_device, load_state
from loralab.nano.ltx.clips import bank_of
from loralab.nano.ltx.parts import build_video_vae
from loralab.nano.vae import COLOUR_DIFFERENCES

COVER_WEIGHT, COLOUR_WEIGHT = 3.0, 0.3
LATENT_NOISE, SIZE_WEIGHT = 0.05, 1e-3
KNOWN_SHARE, PERMUTED_SHARE = 0.9, 0.1
WINDOW, WHOLE_EVERY, CONTROL_EVERY = 96, 4, 8
NUM_CLIPS, NUM_MEASURED, STATISTICS_CHUNK = 16384, 512, 32


def train_video_vae(
    out: Path,
    *,
    minutes: float,
    batch_size: int,
    peak_lr: float,
    resume: bool,
    eager: bool = False,
    contiguous: bool = False,
    num_clips: int = NUM_CLIPS,
    num_measured: int = NUM_MEASURED,
    began: float | None = None,
    seed: int = 0,
) -> None:
    """Trains for `minutes`, then measures the latents; leaves `ltx_video_vae_state.pt`.

    Args:
        out: folder of states and logs.
        minutes: the whole budget, from `began` on, earlier parts included.
        batch_size: whole clips in a step; twice as many windows or controls.
        peak_lr: learning rate after warm-up.
        resume: go on from the state in `out`.
        eager: record no CUDA graphs.
        contiguous: keep the usual layout of tensors on a GPU, instead of channels last.
        num_clips: scenes that windows and clips are drawn of.
        num_measured: clips whose latents are measured at the end.
        began: `time.monotonic()` when the command began.
        seed: of weights and clips.
    """
    began, device = time.monotonic() if began is None else began, best_device()
    on_gpu = device.type == "cuda"
    torch.backends.cudnn.benchmark = on_gpu
    torch.manual_seed(seed)
    vae: Any = build_video_vae().to(device)
    if on_gpu and not contiguous:
        vae.to(memory_format=torch.channels_last_3d)
    fit = Fit(
        "ltx_video_vae",
        out,
        modules={"vae": vae},
        parameters=vae.parameters(),
        peak_lr=peak_lr,
        began=began,
        is_recorded=on_gpu and not eager,
    )
    fit.resume(resume)
    rng = np.random.default_rng([seed, fit.step])
    bank = bank_of([any_scene(rng) for _ in range(num_clips)], device=device)
    torch.manual_seed(seed + fit.step)

    def draw() -> Clips:
        if fit.step % CONTROL_EVERY == 1:
            return bank.controls(2 * batch_size)
        if fit.step % WHOLE_EVERY == 0:
            return bank.whole(batch_size, permuted=PERMUTED_SHARE)
        return bank.windows(2 * batch_size, side=WINDOW, permuted=PERMUTED_SHARE)

    def loss_of(
        pixels: Float[Tensor, " b 3 f h w"], cover: Float[Tensor, " b 1 f h w"]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.autocast(device.type, torch.bfloat16):
            latents = vae.encode(pixels).latent_dist.mode()
            decoded = vae.decode(latents + LATENT_NOISE * torch.randn_like(latents)).sample
        loss, mse = reconstruction_loss(decoded, Clips(pixels, cover))
        return loss + SIZE_WEIGHT * latents.float().square().mean(), {"mse": mse}

    fit.run(loss_of, minutes=minutes, draw=draw)
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
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The weighted loss, and the mean squared error of all pixels alone."""
    error = decoded.float() - clips.pixels
    weight = 1 + COVER_WEIGHT * clips.cover
    weight = weight / weight.mean()
    loss = (weight * (0.5 * error.abs() + 2 * error.square())).mean()
    red, green, blue = error.unbind(1)
    for row in COLOUR_DIFFERENCES:
        colour = row[0] * red + row[1] * green + row[2] * blue
        loss = loss + COLOUR_WEIGHT / len(COLOUR_DIFFERENCES) * (weight[:, 0] * colour.abs()).mean()
    return loss, error.detach().square().mean()


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
    """The VAE of the training in `out`, frozen.

    Raises:
        UserError: if there is none.
    """
    vae = build_video_vae()
    vae.load_state_dict(load_state(out / "ltx_video_vae_state.pt", command="train_ltx_vae")["vae"])
    return vae.eval().requires_grad_(False)
