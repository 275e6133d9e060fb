"""Spectrograms: against the formulas in fp64 by a plain Fourier sum, against another library, and on known sounds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from loralab.errors import UserError
from loralab.families.ltx_video.encoders.mel import LogMel, hertz_of_mel, mel_of_hertz

RATE = 16_000
Array = NDArray[np.float64]


def tone(hertz: float, *, seconds: float = 0.5, amplitude: float = 0.5) -> torch.Tensor:
    time = torch.arange(int(RATE * seconds), dtype=torch.float64) / RATE
    return (amplitude * torch.sin(2 * math.pi * hertz * time)).float()[None]


def slaney_mel(hertz: float) -> float:
    return 3 * hertz / 200 if hertz < 1000 else 15 + math.log(hertz / 1000) / (math.log(6.4) / 27)


def slaney_hertz(mel: float) -> float:
    return 200 * mel / 3 if mel < 15 else 1000 * math.exp((math.log(6.4) / 27) * (mel - 15))


def filters_by_hand(bins: int) -> Array:
    """Triangles of torchaudio's documented arithmetic, one by one."""
    frequencies = [k * RATE / 1024 for k in range(513)]
    step = slaney_mel(RATE / 2) / (bins + 1)
    points = [slaney_hertz(step * i) for i in range(bins + 2)]
    filters = np.zeros((bins, 513))
    for m in range(bins):
        low, mid, high = points[m : m + 3]
        for k, f in enumerate(frequencies):
            if low < f <= mid:
                filters[m, k] = (f - low) / (mid - low)
            elif mid < f < high:
                filters[m, k] = (high - f) / (high - mid)
        filters[m] *= 2 / (high - low)
    return filters


def log_mel_by_hand(waveform: Array, *, bins: int) -> Array:
    """Mirrored ends, periodic Hann window, Fourier sum as a matrix; frames by bins, all in fp64."""
    mirrored = np.concatenate([waveform[1:513][::-1], waveform, waveform[-513:-1][::-1]])
    n = np.arange(1024)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / 1024)
    fourier = np.exp(-2j * np.pi * np.outer(n, np.arange(513)) / 1024)
    frames = np.stack([mirrored[160 * t : 160 * t + 1024] for t in range(1 + len(waveform) // 160)])
    magnitude = np.abs((frames * window) @ fourier)
    return np.log(np.maximum(magnitude @ filters_by_hand(bins).T, 1e-5))


@pytest.mark.parametrize("samples", [513, 8000, 8079])
def test_spectrograms_are_those_of_the_formulas_in_double_precision(samples: int) -> None:
    waveform = torch.rand(2, samples) * 2 - 1

    found = LogMel()(waveform)

    for channel in range(2):
        by_hand = log_mel_by_hand(waveform[channel].double().numpy(), bins=64)
        np.testing.assert_allclose(found[channel].numpy(), by_hand, atol=2e-5, rtol=0)
    assert found.shape == (2, LogMel().num_frames(samples), 64)


def test_another_library_gives_the_same_spectrogram() -> None:
    from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

    waveform = (torch.rand(1, 4000) * 2 - 1) * torch.linspace(1e-4, 1, 4000)
    filters = mel_filter_bank(513, 64, 0.0, 8000.0, RATE, norm="slaney", mel_scale="slaney")

    theirs = spectrogram(
        waveform[0].numpy(), window_function(1024, "hann"), 1024, 160, power=1.0, center=True, pad_mode="reflect",
        mel_filters=filters, mel_floor=1e-5, log_mel="log",
    )  # fmt: skip

    np.testing.assert_allclose(LogMel()(waveform)[0].T.numpy(), theirs, atol=2e-5, rtol=0)


def test_the_scale_is_linear_to_one_kilohertz_and_returns_to_what_it_came_from() -> None:
    hertz = torch.tensor([0.0, 200.0, 1000.0, 6400.0, 8000.0], dtype=torch.float64)

    mel = mel_of_hertz(hertz)

    assert mel[:4].tolist() == pytest.approx([0, 3, 15, 42])
    assert torch.allclose(hertz_of_mel(mel), hertz)


@pytest.mark.parametrize("hertz", [220.0, 440.0, 1760.0, 5000.0])
def test_a_tone_is_loudest_in_the_bin_around_its_pitch(hertz: float) -> None:
    middle = LogMel()(tone(hertz))[0, 25]

    centres = [slaney_hertz(slaney_mel(8000) / 65 * (m + 1)) for m in range(64)]
    nearest = min(range(64), key=lambda m: abs(slaney_mel(centres[m]) - slaney_mel(hertz)))
    assert middle.argmax().item() == nearest


def test_twice_the_amplitude_adds_the_logarithm_of_two() -> None:
    quiet, loud = LogMel()(tone(440.0, amplitude=0.4)), LogMel()(tone(440.0, amplitude=0.8))

    peak = quiet[0, 25].argmax()

    assert (loud - quiet)[0, 25, peak].item() == pytest.approx(math.log(2), abs=1e-5)


def test_silence_is_the_floor() -> None:
    assert torch.equal(LogMel()(torch.zeros(2, 1600)), torch.full((2, 11, 64), math.log(1e-5)))


def test_a_frame_is_centred_on_its_sample() -> None:
    click = torch.zeros(1, 8000)
    click[0, 160 * 20] = 1.0

    loudness = LogMel()(click)[0].exp().sum(-1)

    assert loudness.argmax().item() == 20
    assert torch.allclose(loudness[18], loudness[22], rtol=1e-4)


def test_a_sound_too_short_to_be_mirrored_is_refused() -> None:
    with pytest.raises(UserError, match=r"512 samples \(0\.032 s\).*at least 513"):
        LogMel()(torch.zeros(2, 512))
