"""Trains the nano LTX-Video's VAE of spectrograms and its vocoder, on tones that are drawn before the first step.

    mel = log-mel of a tone,   e = decoded - mel
    VAE:      mean w (|e| + e^2 / 2) + 0.001 mean z^2,   w = 1 + 4 sigmoid(mel + 4)      silence is most of it
              decoded = decoder(z + 0.05 noise)
    vocoder:  mean |wave - target| / mean |target|
              + 0.02 mean over 3 window lengths of |log(|STFT wave| + 1e-3) - log(|STFT target| + 1e-3)|

The vocoder is given true spectrograms and decoded ones by turns. It needs no adversary: a tone is a function of its
spectrum here, its phase included (loralab.data.moving.sound). A spectral distance knows no phase, so it must not lead:
with a weight of 1 the right harmonics came out of step with the target, and stayed there.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from loralab.data.moving.scene import Scene, draw_scene
from loralab.data.moving.sound import HOP, SAMPLE_RATE, draw_sounds
from loralab.nano.fit import Fit, best_device, load_state
from loralab.nano.ltx.parts import MEL_BINS, build_audio_vae, build_vocoder
from loralab.nano.ltx.video_vae import LATENT_NOISE, SIZE_WEIGHT, any_scene

WINDOWS, FFT = (256, 512, 1024), 1024
SPECTRAL_WEIGHT = 0.02
NUM_CLIPS, NUM_MEASURED, CHUNK = 8192, 512, 64


class Sounds(NamedTuple):
    """Tones and their spectrograms, all of them where the training runs."""

    waves: Float[Tensor, " n 2 samples"]
    mels: Float[Tensor, " n 2 frames mels"]


def train_audio_vae(
    out: Path,
    *,
    minutes: float,
    batch_size: int,
    peak_lr: float,
    resume: bool,
    eager: bool = False,
    num_clips: int = NUM_CLIPS,
    num_measured: int = NUM_MEASURED,
    began: float | None = None,
    seed: int = 0,
) -> None:
    """Trains for `minutes` from `began` on, then measures the latents; leaves `ltx_audio_vae_state.pt`."""
    device = best_device()
    torch.manual_seed(seed)
    vae: Any = build_audio_vae().to(device)
    fit = Fit(
        "ltx_audio_vae",
        out,
        modules={"vae": vae},
        parameters=vae.parameters(),
        peak_lr=peak_lr,
        began=began,
        is_recorded=device.type == "cuda" and not eager,
    )
    fit.resume(resume)
    mels = any_sounds(num_clips, seed=seed, device=device).mels
    torch.manual_seed(seed + fit.step)

    def draw() -> tuple[Tensor]:
        return (mels[torch.randint(len(mels), (batch_size,), device=device)],)

    def loss_of(mel: Float[Tensor, " b 2 frames mels"]) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.autocast(device.type, torch.bfloat16):
            latents = vae.encode(mel).latent_dist.mode()
            decoded = vae.decode(latents + LATENT_NOISE * torch.randn_like(latents)).sample
        error = decoded.float() - mel[:, :, : decoded.shape[2]]
        weight = 1 + 4 * torch.sigmoid(mel[:, :, : decoded.shape[2]] + 4)
        loss = (weight * (error.abs() + 0.5 * error.square())).mean()
        size = latents.float().square().mean()
        return loss + SIZE_WEIGHT * size, {"mse": error.detach().square().mean()}

    fit.run(loss_of, minutes=minutes, draw=draw)
    measure(vae, [draw_scene(seed, index=index) for index in range(num_measured)])
    fit.save()


def train_vocoder(
    out: Path,
    *,
    minutes: float,
    batch_size: int,
    peak_lr: float,
    resume: bool,
    eager: bool = False,
    num_clips: int = NUM_CLIPS,
    began: float | None = None,
    seed: int = 0,
) -> None:
    """Trains for `minutes` on spectrograms of `out/ltx_audio_vae_state.pt`; leaves `ltx_vocoder_state.pt`."""
    device = best_device()
    torch.manual_seed(seed)
    vae = load_audio_vae(out).to(device)
    vocoder: Any = build_vocoder().to(device)
    fit = Fit(
        "ltx_vocoder",
        out,
        modules={"vocoder": vocoder},
        parameters=vocoder.parameters(),
        peak_lr=peak_lr,
        began=began,
        is_recorded=device.type == "cuda" and not eager,
    )
    fit.resume(resume)
    waves, mels = any_sounds(num_clips, seed=seed, device=device)
    decoded = through(vae, mels)
    torch.manual_seed(seed + fit.step)

    def draw() -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(waves), (batch_size,), device=device)
        return (decoded if fit.step % 2 else mels)[chosen, :, : decoded.shape[2]], waves[chosen]

    def loss_of(
        mel: Float[Tensor, " b 2 frames mels"], sound: Float[Tensor, " b 2 samples"]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        wave = vocoder(mel)
        length = min(wave.shape[-1], sound.shape[-1])
        wave, sound = wave[..., :length], sound[..., :length]
        direct = (wave - sound).abs().mean() / sound.abs().mean()
        spectral = spectral_distance(wave, sound)
        return direct + SPECTRAL_WEIGHT * spectral, {"wave": direct.detach(), "spectral": spectral.detach()}

    fit.run(loss_of, minutes=minutes, draw=draw)


def any_sounds(count: int, *, seed: int, device: torch.device) -> Sounds:
    """The tones of any scenes."""
    rng = np.random.default_rng([seed, count])
    scenes = [any_scene(rng) for _ in range(count)]
    waves = [draw_sounds(scenes[start : start + CHUNK], device=device) for start in range(0, count, CHUNK)]
    return Sounds(torch.cat(waves), torch.cat([spectrograms(part) for part in waves]))


@torch.no_grad()
def through(vae: Any, mels: Float[Tensor, " n 2 frames mels"]) -> Float[Tensor, " n 2 kept mels"]:
    """Spectrograms as the VAE keeps them; the last frames may be missing."""
    return torch.cat([vae.decode(vae.encode(part).latent_dist.mode()).sample for part in mels.split(CHUNK)])


def spectrograms(sound: Float[Tensor, " b 2 samples"]) -> Float[Tensor, " b 2 frames mels"]:
    """Log-mel spectrograms of a batch, where it is, as the family `ltx_video` makes them; a test holds them equal."""
    window = torch.hann_window(FFT, device=sound.device)
    spectrum = torch.stft(sound.flatten(0, 1), FFT, hop_length=HOP, window=window, return_complex=True)
    mel = spectrum.abs().transpose(1, 2) @ mel_filters().to(sound.device)
    return mel.clamp(min=1e-5).log().unflatten(0, (len(sound), 2))


@functools.cache
def mel_filters() -> Float[Tensor, " frequencies mels"]:
    """The weight of each frequency in each bin, by Slaney."""
    from transformers.audio_utils import mel_filter_bank

    weights = mel_filter_bank(
        FFT // 2 + 1, MEL_BINS, 0.0, SAMPLE_RATE / 2, SAMPLE_RATE, norm="slaney", mel_scale="slaney"
    )
    return torch.from_numpy(weights).float()


def spectral_distance(
    wave: Float[Tensor, " b 2 samples"], sound: Float[Tensor, " b 2 samples"]
) -> Float[Tensor, ""]:
    """Mean difference of logarithmic spectra, over three lengths of their windows."""
    total = wave.new_zeros(())
    for length in WINDOWS:
        window = torch.hann_window(length, device=wave.device)
        pair = [
            torch.stft(
                signal.flatten(0, 1), length, hop_length=length // 4, window=window, return_complex=True
            )
            for signal in (wave, sound)
        ]
        made, true = ((part.abs() + 1e-3).log() for part in pair)
        total = total + (made - true).abs().mean()
    return total / len(WINDOWS)


@torch.no_grad()
def measure(vae: Any, scenes: Sequence[Scene]) -> None:
    """Writes the mean and deviation of each channel and bin of the latents of these sounds into the VAE."""
    device = next(vae.parameters()).device
    latents = torch.cat(
        [
            vae.encode(
                spectrograms(draw_sounds(scenes[start : start + CHUNK], device=device))
            ).latent_dist.mode()
            for start in range(0, len(scenes), CHUNK)
        ]
    ).float()
    vae.latents_mean.copy_(latents.mean((0, 2)).flatten())
    vae.latents_std.copy_(latents.std((0, 2)).flatten())


def load_audio_vae(out: Path) -> Any:
    """The VAE of the training in `out`, frozen."""
    vae = build_audio_vae()
    vae.load_state_dict(load_state(out / "ltx_audio_vae_state.pt", command="train_ltx_audio")["vae"])
    return vae.eval().requires_grad_(False)


def load_vocoder(out: Path) -> Any:
    """The vocoder of the training in `out`, frozen."""
    vocoder = build_vocoder()
    vocoder.load_state_dict(load_state(out / "ltx_vocoder_state.pt", command="train_ltx_vocoder")["vocoder"])
    return vocoder.eval().requires_grad_(False)
