"""Trains the nano LTX-Video's VAE of spectrograms and its vocoder, on tones that are drawn for every step.

    mel = log-mel of a tone,   e = decoded - mel
    VAE:      mean w (|e| + e^2 / 2) + 1e-6 KL,   w = 1 + 4 sigmoid(mel + 4)      silence is most of a spectrogram
    vocoder:  mean |wave - target| + mean over 3 window lengths of |log(|STFT wave| + 1e-3) - log(|STFT target| + 1e-3)|

The vocoder is given true spectrograms and decoded ones by turns. It needs no adversary: a tone is a function of its
spectrum here (loralab.data.moving.sound).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from loralab.data.moving.scene import Scene, draw_scene
from loralab.data.moving.sound import HOP, SAMPLE_RATE, draw_sounds
from loralab.nano.fit import Fit, best_device
from loralab.nano.ltx.parts import MEL_BINS, build_audio_vae, build_vocoder
from loralab.nano.ltx.video_vae import any_scene
from loralab.nano.vae import KL_WEIGHT

WINDOWS, FFT = (256, 512, 1024), 1024
NUM_MEASURED = 512


def train_audio_vae(
    out: Path,
    *,
    minutes: float,
    batch_size: int,
    peak_lr: float,
    resume: bool,
    num_measured: int = NUM_MEASURED,
    seed: int = 0,
) -> None:
    """Trains for `minutes`, then measures the latents; leaves `ltx_audio_vae_state.pt`."""
    device = best_device()
    torch.manual_seed(seed)
    vae: Any = build_audio_vae().to(device)
    fit = Fit("ltx_audio_vae", out, modules={"vae": vae}, parameters=vae.parameters(), peak_lr=peak_lr)
    fit.resume(resume)
    rng = np.random.default_rng([seed, fit.step])
    torch.manual_seed(seed + fit.step)

    def loss_of() -> tuple[Tensor, dict[str, float]]:
        mel = spectrograms(draw_sounds([any_scene(rng) for _ in range(batch_size)], device=device))
        with torch.autocast(device.type, torch.bfloat16):
            posterior = vae.encode(mel).latent_dist
            decoded = vae.decode(posterior.sample()).sample
        error = decoded.float() - mel[:, :, : decoded.shape[2]]
        weight = 1 + 4 * torch.sigmoid(mel[:, :, : decoded.shape[2]] + 4)
        loss = (weight * (error.abs() + 0.5 * error.square())).mean()
        return loss + KL_WEIGHT * posterior.kl().mean(), {"mse": error.detach().square().mean().item()}

    fit.run(loss_of, minutes=minutes)
    measure(vae, [draw_scene(seed, index=index) for index in range(num_measured)])
    fit.save()


def train_vocoder(
    out: Path, *, minutes: float, batch_size: int, peak_lr: float, resume: bool, seed: int = 0
) -> None:
    """Trains for `minutes` on spectrograms of `out/ltx_audio_vae_state.pt`; leaves `ltx_vocoder_state.pt`."""
    device = best_device()
    torch.manual_seed(seed)
    vae = load_audio_vae(out).to(device)
    vocoder: Any = build_vocoder().to(device)
    fit = Fit(
        "ltx_vocoder", out, modules={"vocoder": vocoder}, parameters=vocoder.parameters(), peak_lr=peak_lr
    )
    fit.resume(resume)
    rng = np.random.default_rng([seed, fit.step])
    torch.manual_seed(seed + fit.step)

    def loss_of() -> tuple[Tensor, dict[str, float]]:
        sound = draw_sounds([any_scene(rng) for _ in range(batch_size)], device=device)
        mel = spectrograms(sound)
        if fit.step % 2:
            with torch.no_grad():
                mel = vae.decode(vae.encode(mel).latent_dist.mode()).sample
        wave = vocoder(mel)
        sound = sound[..., : wave.shape[-1]]
        wave = wave[..., : sound.shape[-1]]
        direct = (wave - sound).abs().mean()
        return direct + spectral_distance(wave, sound), {"wave": direct.item()}

    fit.run(loss_of, minutes=minutes)


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
                spectrograms(draw_sounds(scenes[start : start + 64], device=device))
            ).latent_dist.mode()
            for start in range(0, len(scenes), 64)
        ]
    ).float()
    vae.latents_mean.copy_(latents.mean((0, 2)).flatten())
    vae.latents_std.copy_(latents.std((0, 2)).flatten())


def load_audio_vae(out: Path) -> Any:
    """The VAE of the training in `out`, frozen."""
    vae = build_audio_vae()
    state = torch.load(out / "ltx_audio_vae_state.pt", map_location="cpu", weights_only=True)
    vae.load_state_dict(state["vae"])
    return vae.eval().requires_grad_(False)


def load_vocoder(out: Path) -> Any:
    """The vocoder of the training in `out`, frozen."""
    vocoder = build_vocoder()
    state = torch.load(out / "ltx_vocoder_state.pt", map_location="cpu", weights_only=True)
    vocoder.load_state_dict(state["vocoder"])
    return vocoder.eval().requires_grad_(False)
