"""What a clip shows and the caption that says so.

    [zigzag, ] the <name>[, from the <place>][, <action> slowly | fast][, <colour> background]

A caption tells a place, a motion and a background, or leaves each of them out, and then they vary. Some emoji are never
seen in some motions (a third of all pairs, by a hash), so that composition can be scored on pairs never seen.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Literal

import numpy as np

from loralab.data.emoji.spec import BACKGROUNDS

SIDE, FRAMES, FPS = 192, 17, 12
"""Pixels of a side, frames of a clip and frames per second: 1.42 s, 3 x 6 x 6 latents of LTX-Video."""
NAMES = (
    "aubergine", "automobile", "avocado", "banana", "butterfly", "cactus", "carrot", "cat face", "cherries", "crab",
    "cupcake", "doughnut", "duck", "fish", "flamingo", "fox face", "frog face", "grapes", "guitar", "lemon",
    "mushroom", "octopus", "owl", "panda face", "penguin", "pineapple", "rose", "snail", "strawberry", "sunflower",
    "tractor", "turtle",
)  # fmt: skip
"""The emoji that move."""
DIRECTIONS = {
    "right": (1, 0), "down right": (1, 1), "down": (0, 1), "down left": (-1, 1),
    "left": (-1, 0), "up left": (-1, -1), "up": (0, -1), "up right": (1, -1),
}  # fmt: skip
"""Steps to the right and downwards."""
ACTIONS = (
    *(f"moving {name}" for name in DIRECTIONS),
    "growing",
    "shrinking",
    "turning left",
    "turning right",
)
PACES = ("slowly", "fast")
PLACES = {
    (-1, -1): "top left", (0, -1): "top", (1, -1): "top right", (-1, 0): "left", (0, 0): "centre",
    (1, 0): "right", (-1, 1): "bottom left", (0, 1): "bottom", (1, 1): "bottom right",
}  # fmt: skip
Part = Literal["place", "motion", "background"]
PARTS: tuple[Part, ...] = ("place", "motion", "background")
TRAVEL_SHARE, TOLD_SHARE = 0.7, 0.85


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scene:
    """One clip.

    Attributes:
        name: of the emoji.
        action: of `ACTIONS`.
        pace: `slowly` or `fast`.
        place: where it begins: -1, 0 or 1 from the left and from the top.
        background: its colour.
        told: what the caption tells beside the name.
        nudge: pixels that the way is moved by, which no caption tells.
        size: the emoji's side in pixels where it does not grow or shrink.
        look: `plain`; `zigzag`, the concept that moves in a zigzag and whose tone falls where it rises; or
            `curve`, along a spline through `nodes`, which no caption tells.
        nodes: (x, y) of the spline in shares of the picture, in the order of time.
    """

    name: str
    action: str
    pace: str = "slowly"
    place: tuple[int, int] = (0, 0)
    background: str = "white"
    told: tuple[Part, ...] = PARTS
    nudge: tuple[float, float] = (0.0, 0.0)
    size: float = 60.0
    look: Literal["plain", "zigzag", "curve"] = "plain"
    nodes: tuple[tuple[float, float], ...] = ()

    @property
    def caption(self) -> str:
        """The words for this clip, at most 16 of them; the trigger of a concept leads."""
        parts = ["zigzag"] * (self.look == "zigzag") + [f"the {self.name}"]
        if "place" in self.told:
            parts.append(f"from the {PLACES[self.place]}")
        if "motion" in self.told:
            parts.append(f"{self.action} {self.pace}")
        if "background" in self.told:
            parts.append(f"{self.background} background")
        return ", ".join(parts)

    @property
    def step(self) -> tuple[int, int]:
        """Which way it moves: to the right and downwards, 0 for neither."""
        return DIRECTIONS.get(self.action.removeprefix("moving "), (0, 0))


def is_seen(name: str, action: str) -> bool:
    """Whether the base may have been trained on this emoji in this motion."""
    return hashlib.sha256(f"{name}|{action}".encode()).digest()[0] % 3 != 0


def draw_scene(seed: int, *, index: int) -> Scene:
    """The clip `index` of an endless row of clips that the base may see."""
    rng = np.random.default_rng([seed, index])
    name = NAMES[rng.integers(len(NAMES))]
    travels = rng.random() < TRAVEL_SHARE
    actions = [
        action for action in ACTIONS if action.startswith("moving") == travels and is_seen(name, action)
    ]
    return vary(Scene(name=name, action=actions[rng.integers(len(actions))]), rng)


def vary(scene: Scene, rng: np.random.Generator, *, all_told: bool = False) -> Scene:
    """The emoji and action of `scene` at a random pace, place, background, size and telling."""
    pace = PACES[rng.integers(2)]
    place = (place_on_axis(scene.step[0], pace, rng), place_on_axis(scene.step[1], pace, rng))
    told = tuple(part for part in PARTS if rng.random() < TOLD_SHARE)
    return dataclasses.replace(
        scene,
        pace=pace,
        place=place,
        background=BACKGROUNDS[rng.integers(len(BACKGROUNDS))],
        told=PARTS if all_told else told,
        nudge=(float(rng.uniform(-6, 6)), float(rng.uniform(-6, 6))),
        size=float(rng.uniform(54, 66)),
    )


def place_on_axis(step: int, pace: str, rng: np.random.Generator) -> int:
    """Where a way along this axis may begin, so that it ends inside: opposite its end, or in the middle if slow."""
    if step == 0:
        return int(rng.integers(-1, 2))
    return -step if pace == "fast" or rng.random() < 0.5 else 0
