"""Log-mel spectrograms as LTX-Video's audio VAE was trained on them.

    magnitude[k, t] = |sum_n w[n] x[160 t + n - 512] exp(-2 pi i k n / 1024)|     n = 0 .. 1023
    mel[m, t]       = sum_k F[m, k] magnitude[k, t]                               not its square (power 1)
    log_mel[t, m]   = log(max(mel[m, t], 1e-5))
w is the periodic Hann window, x is mirrored at both ends without repeating the end (centred frames), so that frame t
lies around sample 160 t and there are 1 + samples // 160 of them.

F has triangles between neighbours of `bins + 2` points h[0..] that are equally spaced in Slaney's mel from 0 Hz to half
the sample rate, each with area 1 in Hz (Slaney's norm):
    F[m, k] = 2 / (h[m+2] - h[m]) max(0, min((f[k] - h[m]) / (h[m+1] - h[m]), (h[m+2] - f[k]) / (h[m+2] - h[m+1])))
    mel(f)  = 3 f / 200 below 1 kHz, 15 + 27 ln(f / 1000) / ln(6.4) above
Sources: AudioProcessor in Lightricks' ltx-core, which is torchaudio.transforms.MelSpectrogram with n_fft 1024, hop 160,
64 bins, power 1, center, reflect, mel_scale and norm "slaney"; M. Slaney, Auditory Toolbox, Interval Research 1998.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from loralab.errors import UserError

BREAK_HERTZ, BREAK_MEL = 1000.0, 15.0
"""Slaney's scale is linear below and logarithmic above."""


@dataclass(frozen=True)
class LogMel:
    """Makes a log-mel spectrogram of a waveform.

    Attributes:
        sample_rate: samples per second, in Hz.
        num_bins: mel bins from 0 Hz to half the sample rate.
        hop_length: samples from a frame to the next.
        num_fft: samples in a frame.
        floor: the smallest magnitude, which stands for silence.
    """

    sample_rate: int = 16_000
    num_bins: int = 64
    hop_length: int = 160
    num_fft: int = 1024
    floor: float = 1e-5

    def __call__(
        self, waveform: Float[Tensor, " channels samples"]
    ) -> Float[Tensor, " channels frames bins"]:
        """Gives the spectrogram of each channel, fp32, where the waveform is.

        Raises:
            UserError: if the waveform is too short to be mirrored at its ends.
        """
        samples = waveform.shape[-1]
        if samples <= self.num_fft // 2:
            raise UserError(
                f"a sound of {samples} samples ({samples / self.sample_rate:.3f} s) is shorter than half a frame of its"
                f" spectrogram: it needs at least {self.num_fft // 2 + 1}. Take a longer clip, or leave its audio out."
            )
        spectrum = torch.stft(
            waveform.float(),
            n_fft=self.num_fft,
            hop_length=self.hop_length,
            window=torch.hann_window(self.num_fft, device=waveform.device),
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )
        mel = self.filters().to(waveform.device) @ spectrum.abs()
        return mel.clamp(min=self.floor).log().transpose(-1, -2)

    def num_frames(self, num_samples: int) -> int:
        """Counts the frames of a spectrogram."""
        return 1 + num_samples // self.hop_length

    def filters(self) -> Float[Tensor, " bins frequencies"]:
        """Gives F, the weight of each frequency in each bin; computed in fp64, fp32."""
        nyquist = self.sample_rate / 2
        frequencies = torch.linspace(0, nyquist, self.num_fft // 2 + 1, dtype=torch.float64)
        last = mel_of_hertz(torch.tensor([nyquist], dtype=torch.float64)).item()
        points = hertz_of_mel(torch.linspace(0, last, self.num_bins + 2, dtype=torch.float64))
        low, mid, high = points[:-2, None], points[1:-1, None], points[2:, None]
        rising, falling = (frequencies - low) / (mid - low), (high - frequencies) / (high - mid)
        return (2 / (high - low) * torch.minimum(rising, falling).clamp(min=0)).float()


def mel_of_hertz(hertz: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Gives Slaney's mel of frequencies."""
    octaves = (hertz.clamp(min=BREAK_HERTZ) / BREAK_HERTZ).log() / math.log(6.4)
    return torch.where(hertz < BREAK_HERTZ, hertz * BREAK_MEL / BREAK_HERTZ, BREAK_MEL + 27 * octaves)


def hertz_of_mel(mel: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Gives the frequencies of Slaney's mel."""
    logarithmic = BREAK_HERTZ * 6.4 ** ((mel.clamp(min=BREAK_MEL) - BREAK_MEL) / 27)
    return torch.where(mel < BREAK_MEL, mel * BREAK_HERTZ / BREAK_MEL, logarithmic)
