"""From a composed configuration to what the planner is told: what is trained, how long, and what is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hydra.utils import instantiate

from loralab.denoiser import ClipDenoiser, Denoiser, Model, SampleSize
from loralab.memory.plan import Adapter, Blueprint, Drawing, Peaks, Run, Subject
from loralab.memory.plan.coefficients import measured
from loralab.planning.clips import clip_of, draws_sound, modalities_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from loralab.objectives.distribution import DistributionMatching

USUAL_TARGETS, USUAL_RANK = "attention_mlp", 16
USUAL_BATCH = 8
"""Adapter and pictures at once, where a command only draws."""


def subject_of(config: DictConfig, denoiser: Model) -> Peaks:
    """Gives what a training configuration trains, ready to be predicted; reads component configs only."""
    optimizer = {str(key): value for key, value in config.optimizer.items()}
    adapter = Adapter(
        rank=config.adapter.rank,
        pattern=_pattern(config, denoiser),
        use_dora=config.adapter.use_dora,
        zero_start=config.adapter.init != "orthogonal",
        optimizer=str(optimizer.pop("_target_")).rsplit(".", 1)[-1],
        options=optimizer,
        averaged=bool(config.ema_decay),
    )
    subject = Subject(
        _blueprint(config, denoiser),
        adapter,
        denoiser.tokens(sample_of(config)),
        micro_batch=config.micro_batch_size,
        accumulated=config.batch_size > config.micro_batch_size,
        **_company(config),
    )
    return Peaks(subject, measured())


def run_of(config: DictConfig, denoiser: Model) -> Run:
    """Gives how long a run is, and what it draws."""
    previews = config.evaluation.get("previews")
    drawing = None
    if previews is not None and isinstance(denoiser, Denoiser):
        count = previews.num_prompts if previews.prompts is None else len(previews.prompts)
        count *= len(previews.seeds) * (2 + previews.num_snapshots)
        settings = {key: config.evaluation.drawing[key] for key in ("height", "width", "num_steps")}
        drawing = _drawing(
            denoiser,
            num_pictures=count,
            batch_size=config.evaluation.drawing.batch_size,
            **{key: value or getattr(denoiser.sampling, key) for key, value in settings.items()},
        )
    return Run(
        num_steps=config.steps,
        micro_batches=config.batch_size // config.micro_batch_size,
        num_pixels=sample_of(config).num_pixels,
        drawing=drawing,
        passes=_passes(config, denoiser),
    )


def _company(config: DictConfig) -> dict[str, int]:
    """Counts what few-step objectives hold beside the adapter and its network."""
    settings = _few_step(config)
    if settings is None:
        return {}
    return {
        "num_copies": settings.num_copies,
        "num_backbones": 1 if settings.base.checkpoint is None else 2,
    }


def _passes(config: DictConfig, denoiser: Model) -> float:
    """Counts passes of the network over those of plain flow matching; banks, which runs share, are left out."""
    from loralab.objectives.distribution.settings import GRADIENT_COST

    settings = _few_step(config)
    if settings is None or not isinstance(denoiser, Denoiser):
        return 1.0
    return settings.mean_passes(config.steps, grid=denoiser.sampling.num_steps) / GRADIENT_COST


def _few_step(config: DictConfig) -> DistributionMatching | None:
    """Gives the settings of the objective, where it is the one with several adapters; imports no other for it."""
    if not str(config.objective._target_).endswith(".DistributionMatching"):
        return None
    settings: DistributionMatching = instantiate(config.objective)
    return settings


def sample_of(config: DictConfig) -> SampleSize:
    """Gives the largest sample that is trained."""
    if config.model.recipe.get("buckets"):
        return clip_of(config)
    resolutions = config.dataset.get("resolutions") or [config.model.recipe.resolution]
    side = max(int(resolution) for resolution in resolutions)
    return SampleSize(height=side, width=side)


def drawn_of(config: DictConfig, denoiser: Denoiser | ClipDenoiser) -> tuple[Peaks, Drawing]:
    """Gives what a command that only draws needs: the model with a usual adapter, and the pictures or clips."""
    adapter = Adapter(USUAL_RANK, denoiser.target_pattern(USUAL_TARGETS))
    if isinstance(denoiser, ClipDenoiser):
        return _drawn_clip(config, denoiser, adapter)
    height, width = (config.get(key) or getattr(denoiser.sampling, key) for key in ("height", "width"))
    size = SampleSize(height=height, width=width)
    peaks = Peaks(Subject(denoiser.blueprint(), adapter, denoiser.tokens(size)), measured())
    return peaks, _drawing(denoiser, num_pictures=USUAL_BATCH, height=height, width=width)


def _drawn_clip(config: DictConfig, denoiser: ClipDenoiser, adapter: Adapter) -> tuple[Peaks, Drawing]:
    """Gives one clip, whose pixels need nothing beside the transformer: that is freed before they are decoded."""
    width, height, frames, fps = (
        config.get(key) or getattr(denoiser.sampling, key) for key in ("width", "height", "num_frames", "fps")
    )
    size = SampleSize(
        height=height,
        width=width,
        frames=frames,
        fps=fps,
        has_audio=config.sound,
        reference=None if config.reference is None else (1, 1),
    )
    tokens = denoiser.tokens(size)
    drawing = Drawing(
        num_pictures=1,
        batch_size=1,
        num_steps=config.num_steps or denoiser.sampling.num_steps,
        num_calls=1,
        num_tokens=tokens.picture + tokens.audio + tokens.prompt,
        num_pixels=0,
    )
    # Adapters of layers of sound need the whole network, silent as the clip may be.
    return Peaks(Subject(denoiser.blueprint(), adapter, tokens), measured()), drawing


def _blueprint(config: DictConfig, denoiser: Model) -> Blueprint:
    """Gives the networks of a run: of clips, without what only sound needs where training and previews have none."""
    if not isinstance(denoiser, ClipDenoiser):
        return denoiser.blueprint()
    return denoiser.blueprint(has_audio=modalities_of(config)[1] or draws_sound(config))


def _pattern(config: DictConfig, denoiser: Model) -> str:
    """Gives the layers that carry the adapter: of clips, without those of a modality that is absent."""
    targets = str(config.adapter.targets)
    if not isinstance(denoiser, ClipDenoiser):
        return denoiser.target_pattern(targets)
    has_video, has_audio = modalities_of(config)
    return denoiser.trained_pattern(targets, has_video=has_video, has_audio=has_audio)


def _drawing(
    denoiser: Denoiser,
    *,
    num_pictures: int,
    height: int,
    width: int,
    num_steps: int | None = None,
    batch_size: int = USUAL_BATCH,
) -> Drawing:
    sampling = denoiser.sampling
    tokens = denoiser.tokens(SampleSize(height=height, width=width))
    return Drawing(
        num_pictures=num_pictures,
        batch_size=batch_size,
        num_steps=num_steps or sampling.num_steps,
        num_calls=1 + denoiser.guides(sampling.guidance_scale),
        num_tokens=tokens.picture + tokens.prompt,
        num_pixels=height * width,
    )
