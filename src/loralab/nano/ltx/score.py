"""How well clips show and sound what their captions say; the same questions are asked of true clips first.

direction    of eight, the nearest to the way from the first centre to the last
pace         slowly or fast: the way, the growth or the turn is nearer to that of one of the two
change       growing or shrinking: the last size over the first
turn         to the left or right: the angle of the last frame against the first
place        of nine, where the first centre is
name         of 32, the nearest exact render in the first frame
background   of eight colours
pitch        share of frames whose pitch is at most 2 harmonics of 100 Hz from the scene's
together     the same, from the pitch that belongs to the height where the emoji is seen: sound follows the picture
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from loralab.data.moving.frames import draw_clips
from loralab.data.moving.motion import GROWTH, REACH, SPACING, TURN, motion_of
from loralab.data.moving.scene import (
    ACTIONS,
    DIRECTIONS,
    FRAMES,
    NAMES,
    PACES,
    PLACES,
    SIDE,
    Scene,
    is_seen,
    vary,
)
from loralab.data.moving.sound import draw_sounds, height_of, hertz_of
from loralab.files import atomic_write
from loralab.nano.ltx.draw import Drawn, Twin, decode, draw, load_twin
from loralab.nano.ltx.measure import (
    Seen,
    each_of,
    harmonics,
    listen,
    look,
    nearest_angle,
    nearest_colour,
    nearest_name,
)
from loralab.nano.score import Score

HELD_OUT_SEED = 1_000_003
TOLERANCE = 2.0
CHANCE = {
    "direction": 1 / 8, "pace": 1 / 2, "change": 1 / 2, "turn": 1 / 2, "place": 1 / 9, "name": 1 / 32,
    "background": 1 / 8,
}  # fmt: skip
Answers = dict[str, list[bool]]


def score_ltx(folder: Path, *, limit: int, json_path: Path | None = None, seed: int = 0) -> dict[str, Any]:
    """Prints every figure of a folder: of true clips, of what its VAEs keep of them, drawn, and drawn for others."""
    twin, figures = load_twin(folder), {}
    for seen in (True, False):
        scenes = asked(limit, seen=seen)
        drawn = draw(twin, [scene.caption for scene in scenes], seed=seed)
        rows = {
            "true clips": truth(scenes),
            "kept by the VAEs": kept(twin, scenes),
            "drawn": drawn,
            "drawn for another caption": Drawn(drawn.pixels.roll(1, 0), drawn.sound.roll(1, 0)),
        }
        for what, clips in rows.items():
            title = f"{'seen' if seen else 'unseen'} pairs, {what}"
            figures[title] = table(scenes, clips)
            print(title, flush=True)
            for name, row in figures[title].items():
                print(f"    {name}: {row}", flush=True)
    if json_path:
        atomic_write(json_path, json.dumps(figures, indent=1) + "\n")
    return figures


def asked(limit: int, *, seen: bool) -> list[Scene]:
    """Scenes whose captions tell everything, of pairs of emoji and action that training showed, or never showed."""
    pairs = [pair for pair in itertools.product(NAMES, ACTIONS) if is_seen(*pair) == seen]
    order = np.random.default_rng([HELD_OUT_SEED, seen]).permutation(len(pairs))
    chosen = [pairs[index] for index in order[:limit]]
    return [
        vary(Scene(name=name, action=action), np.random.default_rng([HELD_OUT_SEED, index]), all_told=True)
        for index, (name, action) in enumerate(chosen)
    ]


def truth(scenes: Sequence[Scene]) -> Drawn:
    """The exact clips."""
    pixels = torch.cat([draw_clips([scene]).pixels for scene in scenes])
    shown = ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 4, 1)
    return Drawn(shown, draw_sounds(scenes))


def kept(twin: Twin, scenes: Sequence[Scene]) -> Drawn:
    """What is left of the exact clips after the VAEs and the vocoder: the best that the transformer can do."""
    from loralab.nano.ltx.bank import encode_scenes

    chunks = [scenes[start : start + 16] for start in range(0, len(scenes), 16)]
    parts = [decode(twin, *encode_scenes(twin.vae, twin.audio_vae, chunk)) for chunk in chunks]
    return Drawn(torch.cat([part.pixels for part in parts]), torch.cat([part.sound for part in parts]))


def table(scenes: Sequence[Scene], clips: Drawn) -> dict[str, dict[str, Any]]:
    """Every figure of clips that were drawn for scenes."""
    answers: Answers = {name: [] for name in CHANCE}
    shares: dict[str, list[float]] = {"pitch": [], "together": []}
    for given, near in each_of(_asked_of, scenes, clips.pixels, clips.sound):
        for name, right in given.items():
            answers[name].append(right)
        for name, share in near.items():
            shares[name].append(share)
    rows = {name: _row(name, given) for name, given in answers.items() if given}
    return rows | {
        name: {"share": round(float(np.mean(each)), 3), "asked": len(each)} for name, each in shares.items()
    }


def _asked_of(scene: Scene, pixels: Any, sound: Any) -> tuple[dict[str, bool], dict[str, float]]:
    seen, heard = look(pixels), harmonics(listen(sound, num_frames=len(pixels)))
    near = {
        "pitch": agreement(heard, scene, motion_of(scene).centres[:, 1]),
        "together": agreement(heard, scene, seen.centres[:, 1]),
    }
    return questions(scene, seen, pixels), near


def _row(name: str, given: list[bool]) -> dict[str, Any]:
    score = Score(what=name, right=sum(given), asked=len(given), chance=CHANCE[name])
    interval = [round(bound, 3) for bound in score.interval]
    return {
        "share": round(score.share, 3),
        "interval": interval,
        "asked": score.asked,
        "chance": round(score.chance, 3),
    }


def questions(scene: Scene, seen: Seen, pixels: Any) -> dict[str, bool]:
    """The questions that this scene answers, and whether the clip does."""
    first = seen.centres[0]
    answers = {
        "name": nearest_name(pixels[0], seen) == scene.name,
        "background": nearest_colour(seen.background) == scene.background,
        "place": nearest_place(first) == scene.place,
    }
    if any(scene.step):
        length = float(np.linalg.norm(seen.travel)) / float(np.linalg.norm(scene.step))
        answers["direction"] = nearest_direction(seen.travel) == scene.action.removeprefix("moving ")
        answers["pace"] = nearest_pace(length, REACH, np.subtract) == scene.pace
    elif scene.action.startswith("turning"):
        angles = [
            nearest_angle(pixels[frame], seen, index=frame, name=scene.name) for frame in (0, 4, 8, 12, 16)
        ]
        turned = (
            float(np.unwrap(angles, period=360)[-1] - angles[0]) if not np.isnan(angles).any() else np.nan
        )
        answers["turn"] = bool(turned * (1 if scene.action.endswith("left") else -1) > 0)
        answers["pace"] = nearest_pace(abs(turned), TURN, np.subtract) == scene.pace
    else:
        growing = scene.action == "growing"
        answers["change"] = bool((seen.growth > 1) == growing) and not np.isnan(seen.growth)
        ratio = seen.growth if growing else 1 / seen.growth
        answers["pace"] = nearest_pace(ratio, GROWTH, lambda a, b: np.log(a) - np.log(b)) == scene.pace
    return answers


def nearest_direction(travel: Float[np.ndarray, " 2"]) -> str:
    """The direction of a way; empty if there is none or it is shorter than 8 pixels."""
    if not np.linalg.norm(travel) >= 8:
        return ""
    return max(
        DIRECTIONS,
        key=lambda name: float(np.dot(travel, DIRECTIONS[name]) / np.linalg.norm(DIRECTIONS[name])),
    )


def nearest_pace(value: float, values: dict[str, float], difference: Callable[[Any, Any], Any]) -> str:
    """Which pace belongs to a way, a turn or a growth."""
    return "" if np.isnan(value) else min(PACES, key=lambda pace: abs(difference(value, values[pace])))


def nearest_place(centre: Float[np.ndarray, " 2"]) -> tuple[int, int] | None:
    """The place of nine that a centre is nearest to."""
    if np.isnan(centre).any():
        return None
    x, y = (int(np.clip(round(float(part)), -1, 1)) for part in (centre - SIDE / 2) / SPACING)
    assert (x, y) in PLACES
    return x, y


def agreement(heard: Float[np.ndarray, " f"], scene: Scene, y: Float[np.ndarray, " f"]) -> float:
    """Share of frames whose pitch, in harmonics, is near to the one that belongs to these heights."""
    due = harmonics(hertz_of(np.nan_to_num(height_of(scene, y), nan=-9.0)))
    return float((np.abs(heard[:FRAMES] - due) <= TOLERANCE).mean())
