"""What an adapter can learn of emoji in motion: a motion with a tone of its own, and two controls.

    moving_zigzag     clips that zigzag, with the trigger `zigzag`, on one half of the emoji; asked for on the other
    moving_canny      a clip beside its edges, which alone tell how it moves: the caption tells name and background
    moving_tracks     a clip whose emoji follows a curve beside that curve, drawn; the caption is silent on it

Held-out controls are of scenes of their own. `regularization` are plain clips of the emoji that `train` shows.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator
from typing import Literal

import numpy as np

from loralab.data.moving.scene import DIRECTIONS, NAMES, Scene, draw_scene, vary
from loralab.errors import UserError

Control = Literal["canny", "tracks"]
NUM_TRAIN = {"moving_zigzag": 48, "moving_canny": 192, "moving_tracks": 192}
NUM_HELD_OUT, NUM_VALIDATION = 96, 16
SPLITS = ("train", "held_out", "validation", "regularization")
SEEDS = {"train": 9001, "held_out": 9002, "regularization": 9003}
LEAST_LEG = 0.28


@dataclasses.dataclass(frozen=True, kw_only=True)
class MovingConcept:
    """Something to learn.

    Attributes:
        name: as in `dataset=...`.
        trigger: the word that asks for it; None of a control.
        control: what stands beside each clip.
        scenes: the clips of each split.
    """

    name: str
    trigger: str | None
    control: Control | None
    scenes: dict[str, tuple[Scene, ...]]


@functools.cache
def moving_concept(name: str) -> MovingConcept:
    """The concept of that name.

    Raises:
        UserError: naming those that there are.
    """
    if name not in NUM_TRAIN:
        raise UserError(f"dataset={name}: there is no such concept; choose one of {', '.join(NUM_TRAIN)}.")
    rows = {"moving_zigzag": _zigzags, "moving_canny": _plain, "moving_tracks": _curves}
    counts = {"train": NUM_TRAIN[name], "held_out": NUM_HELD_OUT, "regularization": NUM_TRAIN[name]}
    scenes = {split: tuple(itertools.islice(rows[name](split), count)) for split, count in counts.items()}
    scenes["validation"] = scenes["held_out"][:NUM_VALIDATION]
    control: Control | None = {"moving_canny": "canny", "moving_tracks": "tracks"}.get(name)  # type: ignore[assignment]
    return MovingConcept(name=name, trigger=None if control else "zigzag", control=control, scenes=scenes)


def random_nodes(rng: np.random.Generator, *, count: int = 3) -> tuple[tuple[float, float], ...]:
    """Nodes of a curve well inside the picture, neighbours apart."""
    nodes: list[np.ndarray] = []
    while len(nodes) < count:
        node = rng.uniform(0.22, 0.78, 2)
        if not nodes or np.linalg.norm(node - nodes[-1]) >= LEAST_LEG:
            nodes.append(node)
    return tuple((float(x), float(y)) for x, y in nodes)


def _zigzags(split: str) -> Iterator[Scene]:
    """Zigzags across the picture; regularization shows the same ways without."""
    learnt = NAMES[::2] if split != "held_out" else NAMES[1::2]
    straight = [name for name, step in DIRECTIONS.items() if 0 in step]
    for index in itertools.count():
        rng = np.random.default_rng([SEEDS[split], index])
        action = f"moving {straight[rng.integers(len(straight))]}"
        scene = vary(Scene(name=learnt[rng.integers(len(learnt))], action=action), rng, all_told=True)
        across = dataclasses.replace(
            scene, pace="fast", place=(-scene.step[0], -scene.step[1]), told=("motion", "background")
        )
        yield across if split == "regularization" else dataclasses.replace(across, look="zigzag")


def _plain(split: str) -> Iterator[Scene]:
    for index in itertools.count():
        yield dataclasses.replace(draw_scene(SEEDS[split], index=index), told=("background",))


def _curves(split: str) -> Iterator[Scene]:
    for index, scene in enumerate(_plain(split)):
        nodes = random_nodes(np.random.default_rng([SEEDS[split], 1, index]))
        still = dataclasses.replace(scene, action="moving right", look="curve", nodes=nodes)
        yield scene if split == "regularization" else still
