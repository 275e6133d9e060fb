"""What is seen and heard in a clip of an emoji on a plain colour, whoever made it.

    background   the median of each channel over the border of all frames
    emoji        pixels whose channels differ from it by more than 60 of 255 in sum
    centre       their mean place; size: the square root of their number
    pitch        the strongest frequency of 64 ms of sound around each frame, of both channels together

A frame with fewer than 40 such pixels shows no emoji: its centre and size are nan, and so is the pitch where it is
silent. What an emoji is called and how far it is turned is told by the nearest of its exact renders at that place.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from loralab.data.emoji.render import COLOURS
from loralab.data.moving.frames import premultiplied, transforms
from loralab.data.moving.motion import Motion
from loralab.data.moving.scene import FPS, NAMES
from loralab.data.moving.sound import GROUND, SAMPLE_RATE

DIFFERENCE, FEWEST, BORDER = 60, 40, 4
WINDOW, QUIET = 1024, 0.01
ANGLES = np.arange(-240, 241, 15)


@dataclasses.dataclass(frozen=True)
class Seen:
    """A clip's emoji in each frame: centres and sizes in pixels, and the background's colour."""

    centres: Float[np.ndarray, " f 2"]
    sizes: Float[np.ndarray, " f"]
    background: Float[np.ndarray, " 3"]

    @property
    def travel(self) -> Float[np.ndarray, " 2"]:
        """From where it is first seen to where it is last."""
        found = self.centres[~np.isnan(self.centres[:, 0])]
        return found[-1] - found[0] if len(found) else np.full(2, np.nan)

    @property
    def growth(self) -> float:
        """Last size over first."""
        found = self.sizes[~np.isnan(self.sizes)]
        return float(found[-1] / found[0]) if len(found) else float("nan")


def each_of(function: Callable[..., Any], *columns: Iterable[Any]) -> list[Any]:
    """The function of every row of columns, one thread per core: the arrays' arithmetic leaves the interpreter free."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, *columns))


def look(pixels: UInt8[Tensor, " f h w 3"]) -> Seen:
    """Finds the emoji of a clip."""
    frames = pixels.numpy().astype(np.float32)
    edge = np.ones(frames.shape[1:3], bool)
    edge[BORDER:-BORDER, BORDER:-BORDER] = False
    background = np.median(frames[:, edge].reshape(-1, 3), axis=0)
    found = np.abs(frames - background).sum(-1) > DIFFERENCE
    count = found.sum((1, 2)).astype(np.float32)
    count[count < FEWEST] = np.nan
    y, x = (np.arange(size) + 0.5 for size in frames.shape[1:3])
    centres = np.stack([(found * x).sum((1, 2)) / count, (found * y[:, None]).sum((1, 2)) / count], axis=1)
    return Seen(centres, np.sqrt(count), background)


def listen(sound: Float[Tensor, " 2 samples"], *, num_frames: int) -> Float[np.ndarray, " f"]:
    """The pitch around each frame, in Hz."""
    padded = torch.nn.functional.pad(sound, (WINDOW // 2, WINDOW // 2))
    starts = [round(frame / FPS * SAMPLE_RATE) for frame in range(num_frames)]
    pieces = torch.stack(
        [padded[:, start : start + WINDOW] for start in starts if start + WINDOW <= padded.shape[1]]
    )
    spectrum = torch.fft.rfft(pieces * torch.hann_window(WINDOW), n=4 * WINDOW).abs().sum(1)
    hertz = spectrum.argmax(1).float() * (SAMPLE_RATE / (4 * WINDOW))
    loud = pieces.square().mean((1, 2)).sqrt() >= QUIET
    heard = np.full(num_frames, np.nan)
    heard[: len(hertz)] = torch.where(loud, hertz, torch.nan).numpy()
    return heard


def harmonics(hertz: Float[np.ndarray, " f"]) -> Float[np.ndarray, " f"]:
    """Pitches in steps of the tone's scale."""
    return hertz / GROUND


def nearest_name(frame: UInt8[Tensor, " h w 3"], seen: Seen, *, index: int = 0) -> str:
    """Which emoji a frame shows, upright; empty if none."""
    options = _renders(frame, seen, index, [(name, 0.0) for name in NAMES])
    return "" if options is None else NAMES[options]


def nearest_angle(frame: UInt8[Tensor, " h w 3"], seen: Seen, *, index: int, name: str) -> float:
    """How far an emoji is turned in a frame, in degrees anticlockwise; nan if there is none."""
    found = _renders(frame, seen, index, [(name, float(angle)) for angle in ANGLES])
    return float("nan") if found is None else float(ANGLES[found])


def nearest_colour(background: Float[np.ndarray, " 3"]) -> str:
    """The name of a background."""
    return min(COLOURS, key=lambda name: float(np.abs(background - np.array(COLOURS[name])).sum()))


def _renders(
    frame: UInt8[Tensor, " h w 3"], seen: Seen, index: int, options: Sequence[tuple[str, float]]
) -> int | None:
    """The nearest, at half size, of renders whose covered area and its centre are those of the frame."""
    if np.isnan(seen.sizes[index]):
        return None
    tiles = torch.stack([premultiplied(name) for name, _ in options])
    area, middle = zip(*(_extent(name, angle) for name, angle in options), strict=True)
    sizes = seen.sizes[index] / np.sqrt(np.array(area))
    centres = seen.centres[index] - np.stack(middle) * sizes[:, None]
    motion = Motion(
        centres.astype(np.float32), sizes.astype(np.float32), np.array([a for _, a in options], np.float32)
    )
    grid = torch.nn.functional.affine_grid(
        transforms([motion]), [len(options), 4, *(side // 2 for side in frame.shape[:2])], align_corners=False
    )
    colour, cover = torch.nn.functional.grid_sample(tiles, grid, align_corners=False).split([3, 1], 1)
    backdrop = torch.from_numpy(seen.background).float().view(1, 3, 1, 1) / 127.5 - 1
    pictures = colour + (1 - cover) * backdrop
    shown = torch.nn.functional.avg_pool2d(frame.permute(2, 0, 1).float(), 2) / 127.5 - 1
    return int((pictures - shown).square().mean((1, 2, 3)).argmin())


def _extent(name: str, angle: float) -> tuple[float, Float[np.ndarray, " 2"]]:
    """The share of a tile's square that an emoji covers, and its middle from the tile's, in sides, when turned."""
    cover = (premultiplied(name)[3] > 0.3).float()
    place = (torch.arange(len(cover)) + 0.5) / len(cover) - 0.5
    total = cover.sum()
    x, y = float((cover * place).sum() / total), float((cover * place[:, None]).sum() / total)
    turn = np.deg2rad(angle)
    return float(cover.mean()), np.array(
        [x * np.cos(turn) + y * np.sin(turn), -x * np.sin(turn) + y * np.cos(turn)]
    )
