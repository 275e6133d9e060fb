"""Clips for the video VAE, of scenes that the host has read once: each batch is drawn where the training runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from loralab.data.moving.controls import HALF
from loralab.data.moving.frames import Clips, Plan, draw_clips, draw_plan, plan_of, within
from loralab.data.moving.motion import motion_of
from loralab.data.moving.scene import SIDE, Scene
from loralab.nano.ltx.controls import like_controls

NUM_CONTROLS, CONTROLS_CHUNK = 1024, 32
STRAY = 0.2
"""Share of a window's side by which it may miss the middle of the emoji's way."""


@dataclasses.dataclass(frozen=True)
class ClipBank:
    """The plan of n scenes, the middles of their ways in pixels, and m controls and their covers, in 8 bits."""

    plan: Plan
    middles: Float[Tensor, " n 2"]
    control_pixels: UInt8[Tensor, " m 3 f h w"]
    control_cover: UInt8[Tensor, " m 1 f h w"]

    def whole(self, count: int, *, permuted: float) -> Clips:
        """Whole clips, a share of them with their colour channels exchanged."""
        return _permuted(draw_plan(self._rows(self._chosen(count))), share=permuted)

    def windows(self, count: int, *, side: int, permuted: float) -> Clips:
        """Windows inside the picture about the middles of ways."""
        chosen = self._chosen(count)
        middles = self.middles[chosen]
        stray = (torch.rand_like(middles) * 2 - 1) * (STRAY * side)
        centres = (middles + stray).round().clamp(side / 2, SIDE - side / 2)
        return _permuted(
            draw_plan(within(self._rows(chosen), centres=centres, side=side), side=side), share=permuted
        )

    def controls(self, count: int) -> Clips:
        """Controls at half size."""
        device = self.control_pixels.device
        chosen = torch.randint(len(self.control_pixels), (count,), device=device)
        return Clips(
            self.control_pixels[chosen].float() / 127.5 - 1, self.control_cover[chosen].float() / 255
        )

    def _chosen(self, count: int) -> Int[Tensor, " b"]:
        return torch.randint(len(self.middles), (count,), device=self.middles.device)

    def _rows(self, chosen: Int[Tensor, " b"]) -> Plan:
        return Plan(*(part[chosen] for part in self.plan))


def bank_of(scenes: Sequence[Scene], *, device: torch.device) -> ClipBank:
    """The bank of scenes; the first thousand give controls too, half of them edges and half curves of dots."""
    starts = range(0, min(NUM_CONTROLS, len(scenes)), CONTROLS_CHUNK)
    parts = [scenes[start : start + CONTROLS_CHUNK] for start in starts]
    drawn = [like_controls(draw_clips(part, device=device, side=HALF), part) for part in parts]
    middles = np.stack([motion_of(scene).centres.mean(0) for scene in scenes])
    return ClipBank(
        plan_of(scenes, device=device),
        torch.from_numpy(middles).float().to(device),
        torch.cat([((part.pixels + 1) * 127.5).round().byte() for part in drawn]),
        torch.cat([(part.cover * 255).round().byte() for part in drawn]),
    )


def _permuted(clips: Clips, *, share: float) -> Clips:
    pixels = clips.pixels
    count, device = len(pixels), pixels.device
    order = torch.rand(count, 3, device=device).argsort(1)
    exchanged = torch.rand(count, 1, device=device) < share
    index = torch.where(exchanged, order, torch.arange(3, device=device))[:, :, None, None, None]
    return clips._replace(pixels=pixels.gather(1, index.expand_as(pixels)))
