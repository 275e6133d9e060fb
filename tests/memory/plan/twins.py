"""Denoisers and subjects for the planner: true sizes from configs alone, and tiny twins with weights."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from bench.configs import save_configs

from loralab.denoiser import Denoiser, Sampling
from loralab.families.flux2_klein import Flux2Klein
from loralab.families.z_image import ZImage
from loralab.memory.plan import Adapter, Blueprint, Drawing, Peaks, Run, Subject, Tokens
from loralab.memory.plan.coefficients import measured

SAMPLING = Sampling(num_steps=4, guidance_scale=1.0, height=64, width=64)
PARAMETERS = {"flux2_klein9b": 9_078_581_248, "flux2_klein4b": 3_875_544_576, "zimage_base": 6_154_908_736}
RUN = Run(num_steps=100, micro_batches=1, num_pixels=1024**2, drawing=Drawing(16, 1, 4, 1, 4608, 1024**2))


def denoiser_of(checkpoint: Path, *, klein: bool) -> Denoiser:
    if klein:
        return Flux2Klein(name="twin", checkpoint=str(checkpoint), sampling=SAMPLING, max_prompt_length=16)
    return ZImage(name="twin", checkpoint=str(checkpoint), sampling=SAMPLING)


@functools.cache
def full_size(model: str) -> tuple[Blueprint, str]:
    """Gives a model of the true size and its pattern for attention."""
    with tempfile.TemporaryDirectory() as folder:
        denoiser = denoiser_of(save_configs(model, Path(folder)), klein="klein" in model)
        return denoiser.blueprint(), denoiser.target_pattern("attention")


@functools.cache
def peaks_of(model: str, *, batch: int = 1, rank: int = 16) -> Peaks:
    """Gives a model's peaks at 1024x1024 with an adapter on attention."""
    blueprint, pattern = full_size(model)
    tokens = Tokens(4096, 512 if "klein" in model else 128)
    return Peaks(Subject(blueprint, Adapter(rank, pattern), tokens, batch), measured())
