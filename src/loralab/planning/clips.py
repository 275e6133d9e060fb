"""The largest clip of a configuration, as the planner is told of it; no clip is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loralab.data.video.policies import FpsPolicy
from loralab.data.video.sizes import parse_buckets
from loralab.denoiser import SampleSize

if TYPE_CHECKING:
    from omegaconf import DictConfig

USUAL_FPS = 24.0
"""Of clips whose own rate is kept."""


def clip_of(config: DictConfig) -> SampleSize:
    """Gives the largest bucket, with a reference where the settings speak of one."""
    dataset, (_, has_audio) = config.dataset, modalities_of(config)
    buckets = dataset.get("buckets") or config.model.recipe.buckets
    buckets = buckets if isinstance(buckets, str) else list(buckets)
    sizes = parse_buckets(buckets, key="dataset.buckets", multiple=1)
    largest = max(sizes, key=lambda size: size.frames * size.height * size.width)
    rate = FpsPolicy.parse(dataset.get("fps") or "keep", key="dataset.fps").rate
    factors = dataset.get("reference_downscale", 1), dataset.get("reference_stride", 1)
    has_reference = factors != (1, 1) or dataset.get("annotator") is not None
    return SampleSize(
        height=largest.height,
        width=largest.width,
        frames=largest.frames,
        fps=USUAL_FPS if rate is None else float(rate),
        has_audio=has_audio,
        reference=factors if has_reference else None,
    )


def draws_sound(config: DictConfig) -> bool:
    """Says whether the previews after training have sound."""
    from loralab.objectives.audio_video_flow import MODES

    previews = config.evaluation.get("previews")
    mode = None if previews is None else previews.get("mode")
    return mode in MODES and MODES[mode].has_audio


def modalities_of(config: DictConfig) -> tuple[bool, bool]:
    """Says whether the network sees video and hears sound."""
    from hydra.utils import instantiate

    roles = instantiate(config.objective).roles
    return roles.has_video, roles.has_audio
