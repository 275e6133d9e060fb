"""Sound: the VAE's convention against diffusers' own helpers, how many latents come out, and the way back."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from loralab.families.ltx_video.encoders.audio import (
    audio_fingerprint,
    decode_audio,
    encode_audio,
    log_mel_of,
    num_latents,
    vocoder_rate,
)
from loralab.families.ltx_video.encoders.loading import load_audio_vae, load_vocoder
from loralab.families.ltx_video.encoders.mel import LogMel
from loralab.families.shared.checkpoint import Checkpoint
from loralab.memory import Placement

BF16 = Placement(torch.device("cpu"), torch.bfloat16)


@pytest.fixture
def vae(checkpoint: Checkpoint) -> Any:
    return load_audio_vae(checkpoint, BF16)


def test_latents_are_normalised_as_the_pipeline_normalises_packed_ones(vae: Any, pipeline: Any) -> None:
    waveform = torch.rand(2, 16_000) * 2 - 1

    latents = encode_audio(vae, waveform)

    with torch.no_grad():
        raw = pipeline.audio_vae.encode(log_mel_of(vae.config)(waveform)[None]).latent_dist.mode()
    packed = pipeline._pack_audio_latents(raw)
    packed = pipeline._normalize_audio_latents(
        packed, pipeline.audio_vae.latents_mean, pipeline.audio_vae.latents_std
    )
    assert torch.equal(latents, pipeline._unpack_audio_latents(packed, raw.shape[2], num_mel_bins=4)[0])
    assert latents.dtype == torch.float32


@pytest.mark.parametrize("samples", [513, 640, 16_000, 16_319, 16_320])
def test_as_many_latents_come_out_as_are_counted_beforehand(vae: Any, samples: int) -> None:
    latents = encode_audio(vae, torch.rand(2, samples))

    assert latents.shape == (2, num_latents(samples, log_mel_of(vae.config)), 4)


def test_a_second_has_twenty_five_latents_and_the_first_is_alone() -> None:
    assert num_latents(16_000, LogMel()) == 26
    assert num_latents(160_000, LogMel()) - num_latents(144_000, LogMel()) == 25


def test_a_sound_without_its_end_has_the_same_first_latents(vae: Any) -> None:
    waveform = torch.rand(2, 16_000)

    whole, part = encode_audio(vae, waveform), encode_audio(vae, waveform[:, :8_000])

    assert torch.allclose(whole[:, :10], part[:, :10], atol=1e-5)  # the last frames see the mirrored end


def test_decoding_is_what_the_pipeline_does_after_its_last_step(
    vae: Any, checkpoint: Checkpoint, pipeline: Any
) -> None:
    latents, vocoder = torch.randn(2, 7, 4), load_vocoder(checkpoint, BF16)

    waveform = decode_audio(vae, vocoder, latents)

    packed = pipeline._denormalize_audio_latents(
        pipeline._pack_audio_latents(latents[None]),
        pipeline.audio_vae.latents_mean,
        pipeline.audio_vae.latents_std,
    )
    with torch.no_grad():
        mel = pipeline.audio_vae.decode(
            pipeline._unpack_audio_latents(packed, 7, num_mel_bins=4), return_dict=False
        )[0]
        expected = pipeline.vocoder(mel)[0]
    assert torch.equal(waveform, expected)
    assert waveform.shape == (2, (4 * 7 - 3) * 160 * 3) and vocoder_rate(vocoder) == 48_000
    assert waveform.std() > 1e-3


def test_the_fingerprint_changes_with_statistics_and_spectrogram(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(checkpoint.location, tmp_path / "copy"))
    before = audio_fingerprint(checkpoint)
    assert audio_fingerprint(Checkpoint(str(copy), None, pipeline="LTX2Pipeline")) == before

    weights = copy / "audio_vae" / "diffusion_pytorch_model.safetensors"
    save_file({**(tensors := load_file(weights)), "latents_mean": tensors["latents_mean"] + 1}, weights)
    changed = audio_fingerprint(Checkpoint(str(copy), None, pipeline="LTX2Pipeline"))
    config = copy / "audio_vae" / "config.json"
    config.write_text(config.read_text().replace('"mel_hop_length": 160', '"mel_hop_length": 80'))

    assert (
        len({before, changed, audio_fingerprint(Checkpoint(str(copy), None, pipeline="LTX2Pipeline"))}) == 3
    )
