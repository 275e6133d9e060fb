"""Ends of the base's own paths: noise and what guided sampling makes of it, which the student is begun on.

    coupled loss = mean((v(x_sigma) - (noise - data))^2),  x_sigma = (1 - sigma) data + sigma noise

On such pairs x_sigma nearly fixes data, so that a network learns to tell it at once from every sigma (rectified flow,
arXiv:2209.03003). A student that begins as the base tells means at its first steps and pictures at its last; the fake,
fitted on both, then calls for sharper last steps too, and pictures are overdone for hundreds of updates.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from loralab.flow import euler, few_step_sigmas
from loralab.flow.solver import Velocity
from loralab.nano.distill_draws import Draws, Text
from loralab.nano.fit import save_state

NUM_STEPS = 32
KEPT = torch.float16


class Pairs(NamedTuple):
    """Noise, data and the caption's number of each pair."""

    noise: Float[Tensor, " n c h w"]
    data: Float[Tensor, " n c h w"]
    rows: Int[Tensor, " n"]

    def drawn(self, draws: Draws, *, count: int) -> Pairs:
        """Some pairs, in fp32."""
        index = draws.index(count, below=len(self.rows)).to(self.rows.device, non_blocking=True)
        return Pairs(self.noise[index].float(), self.data[index].float(), self.rows[index])


def pairs_of(
    world: Any, captions: Text, *, count: int, guidance_scale: float, path: Path, seed: int
) -> Pairs:
    """Draws pairs with the world's base, in whole batches, or reads those that an earlier part kept at `path`."""
    if path.exists():
        kept = torch.load(path, map_location=world.device, weights_only=True)
        return Pairs(**kept)
    sigmas = few_step_sigmas(NUM_STEPS, shift=world.shift).to(world.device)
    parts = []
    for index in range(-(-count // world.batch_size)):
        draws = Draws(seed=seed, stream="distill/pairs", index=index, device=world.device)
        rows = draws.index(world.batch_size, below=len(captions.lengths)).to(world.device)
        noise = draws.normal((world.batch_size, *world.latents_shape))
        velocity: Velocity = world.guided(world.base, captions.rows(rows), guidance_scale=guidance_scale)
        with torch.no_grad():
            data = euler(velocity, noise, sigmas)
        parts.append(Pairs(noise.to(KEPT), data.to(KEPT), rows))
    pairs = Pairs(*(torch.cat(each) for each in zip(*parts, strict=True)))
    save_state(pairs._asdict(), path)
    return pairs
