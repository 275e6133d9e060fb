"""From a composed configuration to what the planner is told: what is trained, how long, and what is drawn."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from loralab.memory.plan import Adapter, Blueprint, Drawing, Peaks, Run, Subject, Tokens
from loralab.memory.plan.coefficients import measured

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from loralab.denoiser import Denoiser

USUAL_TARGETS, USUAL_RANK = "attention_mlp", 16
USUAL_BATCH = 8
"""Adapter and pictures at once, where a command only draws."""


def subject_of(config: DictConfig, denoiser: Denoiser) -> Peaks:
    """Gives what a training configuration trains, ready to be predicted; reads component configs only."""
    optimizer = {str(key): value for key, value in config.optimizer.items()}
    adapter = Adapter(
        rank=config.adapter.rank,
        pattern=denoiser.target_pattern(config.adapter.targets),
        use_dora=config.adapter.use_dora,
        zero_start=config.adapter.init != "orthogonal",
        optimizer=str(optimizer.pop("_target_")).rsplit(".", 1)[-1],
        options=optimizer,
        averaged=bool(config.ema_decay),
    )
    side = resolution_of(config)
    subject = dataclasses.replace(
        _subject(denoiser, adapter, height=side, width=side),
        micro_batch=config.micro_batch_size,
        accumulated=config.batch_size > config.micro_batch_size,
    )
    return Peaks(subject, measured())


def run_of(config: DictConfig, denoiser: Denoiser) -> Run:
    """Gives how long a run is, and what it draws."""
    previews = config.evaluation.get("previews")
    drawing = None
    if previews is not None:
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
        num_pixels=resolution_of(config) ** 2,
        drawing=drawing,
    )


def resolution_of(config: DictConfig) -> int:
    """Gives the largest resolution that is trained."""
    resolutions = config.dataset.get("resolutions") or [config.model.recipe.resolution]
    return max(int(resolution) for resolution in resolutions)


def drawn_of(config: DictConfig, denoiser: Denoiser) -> tuple[Peaks, Drawing]:
    """Gives what a command that only draws needs: the model with a usual adapter, and the pictures."""
    adapter = Adapter(USUAL_RANK, denoiser.target_pattern(USUAL_TARGETS))
    height, width = (config.get(key) or getattr(denoiser.sampling, key) for key in ("height", "width"))
    peaks = Peaks(_subject(denoiser, adapter, height=height, width=width), measured())
    return peaks, _drawing(denoiser, num_pictures=USUAL_BATCH, height=height, width=width)


def _subject(denoiser: Denoiser, adapter: Adapter, *, height: int, width: int) -> Subject:
    blueprint = denoiser.blueprint()
    return Subject(blueprint, adapter, _tokens(denoiser, blueprint, height=height, width=width))


def _tokens(denoiser: Denoiser, blueprint: Blueprint, *, height: int, width: int) -> Tokens:
    multiple = denoiser.size_multiple
    sides = (-(-side // multiple) * multiple for side in (height, width))
    shape = denoiser.latents_shape(**dict(zip(("height", "width"), sides, strict=True)))
    return Tokens(
        picture=blueprint.padded(denoiser.num_tokens(shape)),
        prompt=blueprint.padded(blueprint.prompt_tokens),
    )


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
    tokens = _tokens(denoiser, denoiser.blueprint(), height=height, width=width)
    return Drawing(
        num_pictures=num_pictures,
        batch_size=batch_size,
        num_steps=num_steps or sampling.num_steps,
        num_calls=1 + denoiser.guides(sampling.guidance_scale),
        num_tokens=tokens.picture + tokens.prompt,
        num_pixels=height * width,
    )
