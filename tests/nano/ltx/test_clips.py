"""What the video VAE is taught with is what scenes show: windows are cut out of clips, controls are black and white."""

from __future__ import annotations

import torch

from loralab.data.moving.frames import draw_clips, draw_plan, plan_of, within
from loralab.data.moving.scene import FRAMES, draw_scene
from loralab.nano.ltx.clips import bank_of

SCENES = [draw_scene(0, index=index) for index in range(4)]


def test_a_window_is_a_piece_of_its_clip() -> None:
    centres = torch.tensor([[96.0, 96.0], [60.0, 110.0], [100.0, 70.0], [32.0, 160.0]])
    clips = draw_clips(SCENES)

    pieces = draw_plan(within(plan_of(SCENES), centres=centres, side=64), side=64)

    for row, (x, y) in enumerate(centres.int().tolist()):
        whole = clips.pixels[row, :, :, y - 32 : y + 32, x - 32 : x + 32]
        torch.testing.assert_close(pieces.pixels[row], whole, atol=1e-4, rtol=1e-4)


def test_batches_show_emoji_and_controls() -> None:
    torch.manual_seed(0)
    bank = bank_of(SCENES, device=torch.device("cpu"))

    windows = bank.windows(6, side=96, permuted=0.0)
    exchanged = bank.windows(6, side=96, permuted=1.0)
    controls = bank.controls(3)

    assert windows.pixels.shape == exchanged.pixels.shape == (6, 3, FRAMES, 96, 96)
    assert windows.cover.mean() > 2 * draw_clips(SCENES).cover.mean()
    assert controls.pixels.shape == (3, 3, FRAMES, 96, 96)
    assert controls.pixels.min() == -1 and 0 < float((controls.pixels > 0).float().mean()) < 0.2
