"""The command `distill`: from the base's folder to Turbo's, and whether what came out is a twin worth the name."""

from __future__ import annotations

import copy
from pathlib import Path

from torch import nn

from loralab.nano.distill import distill, export
from loralab.nano.distill_recipe import Recipe
from loralab.nano.distill_validity import judge, write
from loralab.nano.distill_world import World


def run(
    base: Path,
    out: Path,
    folder: Path,
    *,
    minutes: float,
    warm_minutes: float,
    batch_size: int,
    recipe: Recipe,
    guidance_scale: float,
    watch_every_s: float,
    num_pictures: int,
    num_captions: int,
    num_pairs: int,
    compiled: bool,
    resume: bool,
    validity: bool,
) -> None:
    """Distils, exports, and judges where asked to."""
    world = World(base, batch_size=batch_size, compiled=compiled)
    distill(
        world,
        out,
        minutes=minutes,
        warm_minutes=warm_minutes,
        watch_every_s=watch_every_s,
        guidance_scale=guidance_scale,
        recipe=recipe,
        resume=resume,
        num_watched=num_pictures,
        num_captions=num_captions,
        num_pairs=num_pairs,
    )
    print(f"{export(base, out, folder=folder) / 2**20:.1f} MiB in {folder}", flush=True)
    if validity:
        turbo = exported(folder, world=world)
        figures, sets = judge(world, turbo, num_pictures=2 * num_pictures, guidance_scale=guidance_scale)
        write(figures, sets, out=out)
        print(figures["verdict"], flush=True)


def exported(folder: Path, *, world: World) -> nn.Module:
    """The transformer of an exported folder in the form of the base's, which is the form that was compiled."""
    from diffusers import ZImageTransformer2DModel

    network = copy.deepcopy(world.base)
    network.load_state_dict(ZImageTransformer2DModel.from_pretrained(folder / "transformer").state_dict())
    return network
