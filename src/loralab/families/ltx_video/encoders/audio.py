"""Sound of LTX-Video: waveform to log-mel spectrogram to latents, and back through VAE and vocoder.

    latents = (mode(vae(log_mel(waveform))) - mean) / std       mean, std [c m]: one per channel c and latent bin m
A latent covers four spectrogram frames, 25 to the second; the VAE is causal, so that its first sees one frame only and
n latents decode to 4 n - 3 frames. A clip's sound gives ceil((1 + samples // 160) / 4) of them, for many durations one
more than the round(25 seconds) that diffusers' pipelines draw; the vendor's trainer keeps all of them as well.
Conventions: Lightricks' ltx-core and ltx-trainer (encode_audio), diffusers' LTX2Pipeline.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from loralab.families.ltx_video.encoders.mel import LogMel
from loralab.families.shared.checkpoint import Checkpoint
from loralab.families.shared.digest import component_digest, digest_of

FRAMES_PER_LATENT = 4


def log_mel_of(config: Any) -> LogMel:
    """Gives the spectrogram that an audio VAE's configuration asks for."""
    return LogMel(
        sample_rate=config["sample_rate"], num_bins=config["mel_bins"], hop_length=config["mel_hop_length"]
    )


def num_latents(num_samples: int, log_mel: LogMel) -> int:
    """Counts the latents of a sound of so many samples."""
    return -(-log_mel.num_frames(num_samples) // FRAMES_PER_LATENT)


@torch.no_grad()
def encode_audio(vae: Any, waveform: Float[Tensor, " 2 samples"]) -> Float[Tensor, " c n m"]:
    """Gives the normalised latents of a stereo sound, fp32 on the CPU.

    Args:
        vae: from `load_audio_vae`.
        waveform: in [-1, 1], at the VAE's sample rate (16 kHz).

    Raises:
        UserError: if the sound is shorter than a spectrogram needs.
    """
    spectrogram = log_mel_of(vae.config)(waveform.to(vae.device, torch.float32))
    raw = vae.encode(spectrogram[None]).latent_dist.mode()[0]
    mean, std = _statistics(vae, raw)
    return ((raw - mean) / std).cpu()


@torch.no_grad()
def decode_audio(vae: Any, vocoder: Any, latents: Float[Tensor, " c n m"]) -> Float[Tensor, " 2 samples"]:
    """Gives the stereo sound of normalised latents in [-1, 1], fp32 on the CPU, at `vocoder_rate`."""
    latents = latents.to(vae.device, torch.float32)
    mean, std = _statistics(vae, latents)
    spectrogram = vae.decode((latents * std + mean)[None], return_dict=False)[0]
    return vocoder(spectrogram.to(vocoder.device))[0].cpu()


def vocoder_rate(vocoder: Any) -> int:
    """Gives the samples per second that a vocoder answers with (48 kHz in LTX-2.3)."""
    return int(vocoder.config.output_sampling_rate)


def audio_fingerprint(checkpoint: Checkpoint) -> str:
    """Digests what `encode_audio` depends on besides the sound: the VAE with its statistics, and the spectrogram."""
    config = checkpoint.config("audio_vae")
    digest = component_digest(checkpoint.weights("audio_vae"), config)
    settings = {
        "mel": dataclasses.asdict(log_mel_of(config)),
        "normalisation": "mean and std per channel and bin",
    }
    return digest_of([digest, settings])


def _statistics(
    vae: Any, latents: Float[Tensor, " c n m"]
) -> tuple[Float[Tensor, " c 1 m"], Float[Tensor, " c 1 m"]]:
    channels, _, bins = latents.shape
    mean, std = (kept.to(latents).view(channels, 1, bins) for kept in (vae.latents_mean, vae.latents_std))
    return mean, std
