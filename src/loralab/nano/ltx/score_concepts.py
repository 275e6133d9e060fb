"""How well a transformer, with an adapter on it or without, does what the concepts of emoji in motion ask for.

zigzag     swing: correlation of the way beside the straight line with the true triangle wave, over frames
           width: deviation of that way over the true one's;  pitch: share of frames within 2 harmonics
canny      edges: F1 of edges of drawn frames and of the control, a pixel of tolerance at half size
           distance: mean pixels between the drawn and the true centre
tracks     distance: mean pixels between the drawn centre and the curve's point of the same frame;
           reversed: the same with the curve's nodes in reverse order;  unturned: to the curve as it was before
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn.functional import max_pool2d

from loralab.data.moving.concepts import moving_concept
from loralab.data.moving.controls import control_frames, edges_of
from loralab.data.moving.motion import motion_of
from loralab.data.moving.scene import Scene
from loralab.nano.ltx.draw import Drawn, Twin, draw
from loralab.nano.ltx.measure import each_of, harmonics, listen, look, nearest_name
from loralab.nano.ltx.score import agreement, kept

FAR = 96.0
"""Distance in pixels of a frame in which no emoji is seen: half a side."""
Figures = dict[str, float]


def score_concept(
    twin: Twin, name: str, *, limit: int, has_adapter: bool, seed: int = 0
) -> dict[str, Figures]:
    """Figures of held-out clips; without an adapter also those of what the VAEs keep of true ones."""
    concept = moving_concept(name)
    scenes = concept.scenes["held_out"][:limit]
    captions = [scene.caption for scene in scenes]
    rows: dict[str, Figures] = {}
    if not has_adapter:
        true = kept(twin, scenes)
        other = Drawn(true.pixels.roll(1, 0), true.sound.roll(1, 0))
        rows |= {
            "true clips": measured(name, scenes, true),
            "true clips, exchanged": measured(name, scenes, other),
        }
    if concept.control is None:
        return rows | {"drawn": measured(name, scenes, draw(twin, captions, seed=seed))}
    if not has_adapter:
        return rows | {"drawn, no control": measured(name, scenes, draw(twin, captions, seed=seed))}
    rows["drawn"] = measured(name, scenes, _controlled(twin, name, scenes, seed=seed))
    if concept.control == "tracks":
        turned = [dataclasses.replace(scene, nodes=scene.nodes[::-1]) for scene in scenes]
        drawn = _controlled(twin, name, turned, seed=seed)
        rows["drawn, nodes reversed"] = measured(name, turned, drawn) | {
            "unturned": measured(name, scenes, drawn)["distance"]
        }
    return rows


def measured(name: str, scenes: Sequence[Scene], clips: Drawn) -> Figures:
    """Mean figures of clips that were drawn for scenes of a concept."""
    of_one = {"moving_zigzag": _zigzag, "moving_canny": _canny, "moving_tracks": _tracks}[name]
    each = each_of(of_one, scenes, clips.pixels, clips.sound)
    return {key: round(float(np.mean([row[key] for row in each])), 3) for key in each[0]}


def distance(scene: Scene, pixels: UInt8[Tensor, " f h w 3"]) -> float:
    """Mean pixels between where the emoji is seen and where it should be; half a side where none is."""
    apart = np.linalg.norm(look(pixels).centres - motion_of(scene).centres, axis=1)
    return float(np.nan_to_num(apart, nan=FAR).mean())


def edge_agreement(made: UInt8[np.ndarray, " f y x 3"], due: UInt8[np.ndarray, " f y x 3"]) -> float:
    """F1 of edge pixels: those with an edge of the other at most a pixel away."""
    ours, theirs = (torch.from_numpy(frames[..., 0] > 127) for frames in (made, due))
    if not ours.any() or not theirs.any():
        return 0.0
    precision, recall = (_near(*pair) for pair in ((ours, theirs), (theirs, ours)))
    return 2 * precision * recall / max(precision + recall, 1e-9)


def swing_of(scene: Scene, pixels: UInt8[Tensor, " f h w 3"]) -> tuple[float, float]:
    """Correlation with the true way beside the straight line, and its width over the true one's."""
    made, due = (_sideways(scene, centres) for centres in (look(pixels).centres, motion_of(scene).centres))
    if np.isnan(made).any() or made.std() < 1e-6:
        return 0.0, 0.0
    return float(np.corrcoef(made, due)[0, 1]), float(made.std() / due.std())


def _zigzag(scene: Scene, pixels: Tensor, sound: Tensor) -> Figures:
    swing, width = swing_of(scene, pixels)
    heard = harmonics(listen(sound, num_frames=len(pixels)))
    name = float(nearest_name(pixels[0], look(pixels)) == scene.name)
    pitch = agreement(heard, scene, motion_of(scene).centres[:, 1])
    return {"swing": swing, "width": width, "pitch": pitch, "name": name, "distance": distance(scene, pixels)}


def _canny(scene: Scene, pixels: Tensor, sound: Tensor) -> Figures:
    edges = edge_agreement(edges_of(pixels.numpy()), control_frames(scene, "canny"))
    return {"edges": edges, "distance": distance(scene, pixels)}


def _tracks(scene: Scene, pixels: Tensor, sound: Tensor) -> Figures:
    return {"distance": distance(scene, pixels)}


def _controlled(twin: Twin, name: str, scenes: Sequence[Scene], *, seed: int) -> Drawn:
    control: Any = moving_concept(name).control
    controls = torch.from_numpy(np.stack(each_of(lambda scene: control_frames(scene, control), scenes)))
    return draw(twin, [scene.caption for scene in scenes], controls=controls, seed=seed)


def _near(points: Bool[Tensor, " f y x"], others: Bool[Tensor, " f y x"]) -> float:
    """Share of points that have one of the others at most a pixel away."""
    reach = max_pool2d(others.float()[:, None], 3, stride=1, padding=1)[:, 0] > 0
    return float((points & reach).sum() / points.sum())


def _sideways(scene: Scene, centres: Float[np.ndarray, " f 2"]) -> Float[np.ndarray, " f"]:
    """How far from the straight line of its direction, the linear part left out."""
    across, down = scene.step
    beside = centres @ np.array([-down, across]) / math.hypot(across, down)
    time = np.arange(len(beside))
    return beside if np.isnan(beside).any() else beside - np.polyval(np.polyfit(time, beside, 1), time)
