"""`python -m loralab sample`: pictures from an adapter file, each beside the base's from the same noise.

Of a video model they are clips with sound, by the settings of conf/sample_clip.yaml:
    sample adapter=... prompt=... image=first.png audio=song.wav reference=control.mp4 out=clip.mp4
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from omegaconf import ListConfig

from loralab.cli import sample_clip
from loralab.cli.compose import composed, draws_clips, placed_denoiser, require_match
from loralab.errors import UserError

log = logging.getLogger("loralab")


def main(arguments: Sequence[str]) -> None:
    """Draws every prompt with every seed and prints where the pictures are."""
    if draws_clips(arguments):
        sample_clip.main(arguments)
        return
    _draw_pictures(arguments)


def _draw_pictures(arguments: Sequence[str]) -> None:
    from loralab.evaluation import Drawing, render

    config = composed("sample", arguments)
    adapter = None if config.adapter_file is None else Path(config.adapter_file)
    if adapter is None and not config.beside_base:
        raise UserError(
            "beside_base=false without an adapter draws nothing: give adapter=... or leave beside_base=true"
        )
    if adapter is not None:
        require_match(config, adapter)
    prompts = list(config.prompt) if isinstance(config.prompt, ListConfig) else [str(config.prompt)]
    grid = render(
        placed_denoiser(config),
        adapter,
        prompts=prompts,
        seeds=list(config.seeds),
        folder=Path(config.output),
        drawing=Drawing(
            num_steps=config.num_steps,
            guidance_scale=config.guidance_scale,
            height=config.height,
            width=config.width,
        ),
        beside_base=config.beside_base,
    )
    log.info("pictures  %s", config.output)
    log.info("grid      %s", grid)
