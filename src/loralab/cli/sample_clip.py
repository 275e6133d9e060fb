"""`python -m loralab sample` of a video model: an mp4 with sound, or a folder of them beside what the base draws."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from omegaconf import DictConfig, ListConfig

from loralab.cli.compose import composed, placed_denoiser, require_match
from loralab.denoiser import ClipDenoiser, Model
from loralab.errors import UserError, joined

if TYPE_CHECKING:
    from loralab.evaluation.video import ClipDrawing, ClipRequest, ClipSize, Row

log = logging.getLogger("loralab")
DRAWN = (
    "num_steps", "width", "height", "num_frames", "fps", "video_guidance_scale", "audio_guidance_scale",
    "perturbed_scale", "modality_scale", "rescale", "perturbed_blocks", "negative_prompt",
)  # fmt: skip
"""Settings of `ClipDrawing`."""


def main(arguments: Sequence[str]) -> None:
    """Draws every prompt with every seed and prints where the clips are."""
    from loralab.evaluation.video import ClipDrawing

    config = composed("sample_clip", arguments)
    adapters = [Path(path) for path in _listed(config.adapter_file)]
    for path in adapters:
        require_match(config, path)
    _require_sense(config, adapters)
    settings = {name: _plain(config[name]) for name in DRAWN}
    model = cast(Model, placed_denoiser(config))
    assert isinstance(model, ClipDenoiser)
    factors = model.reference_factors(adapters)
    drawing = _sized(config, model, ClipDrawing(key="", **settings))
    drawing.require_drawable(model)
    drawing.size(model).require(model, key="size", factors=factors if config.reference else (1, 1))
    rows = list(_rows(config, size=drawing.size(model), factors=factors))
    _write(config, model, adapters, rows=rows, drawing=drawing)


def _listed(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, ListConfig) else [str(value)]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, ListConfig) else value


def _require_sense(config: DictConfig, adapters: Sequence[Path]) -> None:
    """Refuses combinations in which something would have no effect, all at once."""
    if problems := list(_problems(config, adapters)):
        raise UserError("these cannot be used together:\n" + joined(problems))


def _problems(config: DictConfig, adapters: Sequence[Path]) -> Iterator[str]:
    if config.image is not None and config.extend is not None:
        yield "image and extend both say how the clip begins: give one of them"
    if config.video is not None:
        others = [name for name in ("image", "extend", "audio", "reference") if config[name] is not None]
        if others:
            yield f"video= leaves only sound to draw, beside which {', '.join(others)} has no effect: leave one out"
        if not config.sound:
            yield "sound=false leaves nothing to draw beside video="
    if config.audio is not None and not config.sound:
        yield "sound=false and audio= contradict each other: leave one out"
    if config.reference is not None and not adapters:
        yield "reference= says nothing to the base alone: give the adapter that was trained with references"
    is_file = _is_file(config)
    num_clips = len(_listed(config.prompt)) * len(config.seeds)
    if is_file and (num_clips > 1 or (config.beside_base and adapters)):
        yield f"out={config.out} is one file, and several clips are asked for: give a folder"
    if not adapters and config.beside_base is False:
        yield "beside_base=false without an adapter draws nothing: give adapter=... or leave it out"


def _is_file(config: DictConfig) -> bool:
    return Path(config.out).suffix.lower() == ".mp4"


def _sized(config: DictConfig, model: ClipDenoiser, drawing: ClipDrawing) -> ClipDrawing:
    """Takes the number of frames from a video that all of them are given for, where none is typed."""
    import dataclasses

    from loralab.evaluation.video.inputs import available_frames

    given = [Path(config[name]) for name in ("video", "reference") if config[name] is not None]
    if drawing.num_frames is not None or not given:
        return drawing
    size = drawing.size(model)
    count = min(size.num_frames, *(available_frames(path, fps=size.fps) for path in given))
    return dataclasses.replace(drawing, num_frames=count)


def _rows(config: DictConfig, *, size: ClipSize, factors: tuple[int, int]) -> Iterator[Row]:
    from loralab.evaluation.video import Row

    for prompt in _listed(config.prompt):
        request = _request(config, prompt, size=size, factors=factors)
        yield from (Row(request=request, seed=seed) for seed in config.seeds)


def _request(config: DictConfig, prompt: str, *, size: ClipSize, factors: tuple[int, int]) -> ClipRequest:
    from loralab.evaluation.video import ClipRequest, inputs

    start = None
    if config.image is not None:
        start = inputs.first_frame(Path(config.image), size, crf=config.image_crf)
    elif config.extend is not None:
        start = inputs.last_frames(Path(config.extend), size, count=config.extend_frames)
    video, audio, reference = (
        None if config[name] is None else Path(config[name]) for name in ("video", "audio", "reference")
    )
    return ClipRequest(
        prompt=prompt,
        size=size,
        has_audio=config.sound,
        start=start,
        video=None if video is None else inputs.frames_of(video, size, key="video"),
        audio=None if audio is None else inputs.sound_of(audio, size),
        reference=None if reference is None else inputs.reference_frames(reference, size, factors=factors),
    )


def _write(
    config: DictConfig,
    model: ClipDenoiser,
    adapters: list[Path],
    *,
    rows: list[Row],
    drawing: ClipDrawing,
) -> None:
    from loralab.evaluation.bar import bar
    from loralab.evaluation.video import draw_clips, write_clip, write_clips
    from loralab.evaluation.video.rendering import BASE, num_steps

    is_file = _is_file(config)
    beside_base = not is_file if config.beside_base is None else config.beside_base
    columns: dict[str, list[Path]] = {BASE: []} if beside_base or not adapters else {}
    columns |= {"adapter": adapters} if adapters else {}
    total = num_steps(model, columns=len(columns), rows=rows, drawing=drawing)
    with bar("draw", total=total, unit="step") as progress:
        clips = draw_clips(model, columns, rows=rows, drawing=drawing, progress=progress)
        if not is_file:
            log.info("clips  %s\nsheet  %s", config.out, write_clips(Path(config.out), clips, rows=rows))
            return
        for clip in clips:
            log.info("clip  %s", write_clip(clip, Path(config.out)))
