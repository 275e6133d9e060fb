"""Whether the nano Z-Image Turbo is a twin of the real one: is there a distillation to lose, and is it there?

On captions and true pictures that no training saw, all rows from the same noise; true is what the VAE keeps of a
picture, since its blur is nobody's to mend and would hide the rest:
    base, 50 steps, guided    what it draws when it takes its time
    base, 8 steps             on its own grid guided, and on the student's without guidance
    turbo, 8 steps            without guidance
Demanded, in Fréchet distances to the true pictures: base(8) >= 1.5 base(50), whichever of the two grids is the better
one, and turbo(8) <= 0.7 base(8).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from loralab.files import atomic_path, atomic_write
from loralab.flow import few_step_sigmas
from loralab.nano.distill_score import PictureSet, Yardstick, compared, distance
from loralab.nano.distill_world import HELD_OUT_SEED, Shown, World
from loralab.nano.plots import grid
from loralab.nano.zimage_parts import SHIFTS, STEPS

BASE_LOSES, TURBO_MENDS = 1.5, 0.7
COLUMNS = 16


def judge(
    world: World, turbo: nn.Module, *, num_pictures: int, guidance_scale: float
) -> tuple[dict[str, Any], dict[str, PictureSet]]:
    """Gives the figures with the verdict, and the sets of pictures behind them."""
    shown = world.shown(HELD_OUT_SEED, count=num_pictures)
    yardstick = Yardstick(world.kept(shown), encode=world.encode, decode=world.decode)
    drawn = _drawn(world, turbo, shown=shown, guidance_scale=guidance_scale)
    sets = {name: yardstick.measure(latents) for name, latents in drawn.items()}
    other = world.shown(HELD_OUT_SEED + 1, count=num_pictures)
    floor = distance(yardstick.measure(world.encode(other.pixels)), yardstick.true)
    rows = {name: compared(each, true=yardstick.true, many=sets["base_50"]) for name, each in sets.items()}
    figures = {"pictures": len(shown.pixels), "guidance_scale": guidance_scale, "floor": floor, **rows}
    return figures | {"verdict": verdict(rows)}, {"true": yardstick.true, **sets}


def verdict(rows: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Gives both ratios and whether they are as demanded."""
    few = min(rows["base_8"]["to_true"], rows["base_8_unguided"]["to_true"])
    loses, mends = few / rows["base_50"]["to_true"], rows["turbo_8"]["to_true"] / few
    return {
        "base_8_over_base_50": loses,
        "turbo_8_over_base_8": mends,
        "valid": loses >= BASE_LOSES and mends <= TURBO_MENDS,
    }


def write(figures: dict[str, Any], sets: dict[str, PictureSet], *, out: Path) -> None:
    """Writes `validity.json` and `validity.png`: true pictures, base at 50, base at 8, turbo at 8."""
    rounded = json.loads(json.dumps(figures), parse_float=lambda text: round(float(text), 4))
    atomic_write(out / "validity.json", json.dumps(rounded, indent=1) + "\n")
    rows = [sets[name].pixels[:COLUMNS] / 2 + 0.5 for name in ("true", "base_50", "base_8", "turbo_8")]
    with atomic_path(out / "validity.png") as temporary:
        grid(rows).save(temporary, format="PNG", optimize=True)


def _drawn(world: World, turbo: nn.Module, *, shown: Shown, guidance_scale: float) -> dict[str, Tensor]:
    """Gives the latents of every row; the grids are the checkpoints' own but for the one without guidance."""
    many = few_step_sigmas(STEPS["base"], shift=world.shift)
    few = few_step_sigmas(STEPS["distilled"], shift=world.shift)
    student = few_step_sigmas(STEPS["distilled"], shift=SHIFTS["distilled"])
    student_many = few_step_sigmas(STEPS["base"], shift=SHIFTS["distilled"])
    return {
        "base_50": world.sample(world.base, shown, sigmas=many, guidance_scale=guidance_scale),
        "base_50_unguided": world.sample(world.base, shown, sigmas=many),
        "base_8": world.sample(world.base, shown, sigmas=few, guidance_scale=guidance_scale),
        "base_8_unguided": world.sample(world.base, shown, sigmas=student),
        "turbo_8": world.sample(turbo, shown, sigmas=student),
        "turbo_50": world.sample(turbo, shown, sigmas=student_many),
    }
