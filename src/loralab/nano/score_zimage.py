"""How well a nano Z-Image draws what it is told, how much it varies what it is not told, and how sharp few steps are.

Retrieval: of all names' renders in every colour, place and tint (no confetti), the nearest one to a picture drawn for a
plain caption has the right name. Attribute: of the caption's own emoji's renders, the nearest one has the value that
was told; the pairs of name and value were never seen in training. Distance: squared difference of 32x32 means.
Sharpness: mean squared Laplacian of pictures in [0, 1] over that of the exact pictures of the same captions; the VAE's
own is told beside. Spread: variance over seeds under one caption, over that of the exact pictures.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from loralab.data.emoji.atlas import names
from loralab.data.emoji.spec import ATTRIBUTES, EmojiSpec, is_seen, variations
from loralab.data.emoji.varied import CHANGED, VariedEmoji, draw_varied
from loralab.evaluation.distribution import sharpness
from loralab.files import atomic_write
from loralab.nano.score import Score, digest, truth
from loralab.nano.zimage_bank import encode_pixels, pictures
from loralab.nano.zimage_draw import Twin, decode, draw, load_twin
from loralab.nano.zimage_parts import GUIDANCE_SCALE

HELD_OUT_SEED = 1_000_003
"""Pictures of this seed were not in training, though others of their captions may have been."""
SPREAD_SEEDS = 16
SETTINGS: dict[str, tuple[tuple[int, float], ...]] = {
    "base": ((50, GUIDANCE_SCALE), (8, GUIDANCE_SCALE), (50, 0.0), (8, 0.0)),
    "distilled": ((8, 0.0), (4, 0.0), (50, 0.0)),
}


def score_zimage(folder: Path, *, variant: str, limit: int, json_path: Path | None = None) -> dict[str, Any]:
    """Prints every figure of a folder at the variant's settings of (steps, guidance), and writes them as JSON."""
    twin = load_twin(folder)
    figures: dict[str, Any] = {"sharpness of the VAE": round(sharpness_of_vae(twin, limit=limit), 3)}
    print(f"sharpness of the VAE: {figures['sharpness of the VAE']}", flush=True)
    for num_steps, guidance_scale in SETTINGS[variant]:
        sampling = {"num_steps": num_steps, "guidance_scale": guidance_scale}
        row: dict[str, Any] = {
            "sharpness": round(score_sharpness(twin, limit=limit, **sampling), 3),
            "spread": round(score_spread(twin, limit=max(1, limit // 16), **sampling), 3),
        }
        for score in (
            score_retrieval(twin, limit=limit, **sampling),
            *(score_attribute(twin, attribute, limit=limit, **sampling) for attribute in CHANGED),
        ):
            row[score.what] = {**dataclasses.asdict(score), "share": score.share, "interval": score.interval}
            print(f"{num_steps} steps, guidance {guidance_scale}: {score}", flush=True)
        print(
            f"{num_steps} steps, guidance {guidance_scale}: sharpness {row['sharpness']}, spread {row['spread']}"
        )
        figures[f"{num_steps} steps, guidance {guidance_scale}"] = row
    if json_path:
        atomic_write(json_path, json.dumps(figures, indent=1) + "\n")
    return figures


def score_retrieval(twin: Twin, *, limit: int | None = None, **sampling: Any) -> Score:
    """Top-1 retrieval over plain captions among all names; `limit` asks for fewer names, spread by hash."""
    asked = sorted(names(), key=digest)[:limit]
    drawn = features(draw(twin, [EmojiSpec(name=name).caption for name in asked], **sampling))
    distances = torch.stack([torch.cdist(drawn, _options(name)).min(1).values for name in names()], dim=1)
    nearest = distances.argmin(1).tolist()
    right = sum(names()[index] == name for index, name in zip(nearest, asked, strict=True))
    return Score(what="retrieval of plain captions", right=right, asked=len(asked), chance=1 / len(names()))


def score_attribute(twin: Twin, attribute: str, *, limit: int | None = None, **sampling: Any) -> Score:
    """Accuracy on (name, value) pairs that training never showed."""
    values = ATTRIBUTES[attribute]
    pairs = [EmojiSpec(name=name, **{attribute: value}) for name in names() for value in values[1:]]
    unseen = (spec for spec in pairs if not is_seen(spec))
    asked = sorted(unseen, key=lambda spec: digest(spec.caption))[:limit]
    drawn = features(draw(twin, [spec.caption for spec in asked], **sampling))
    right = 0
    for picture, spec in zip(drawn, asked, strict=True):
        nearest = upright(spec.name)[int(torch.cdist(picture[None], _options(spec.name)).argmin())]
        right += getattr(nearest, attribute) == getattr(spec, attribute)
    return Score(what=f"{attribute} of unseen pairs", right=right, asked=len(asked), chance=1 / len(values))


def score_sharpness(twin: Twin, *, limit: int, **sampling: Any) -> float:
    """Laplacian energy of pictures drawn for the captions of unseen pictures, over that of these pictures."""
    shown = held_out(limit)
    drawn = draw(twin, [picture.caption for picture in shown], **sampling)
    return sharpness(drawn, reference=exact(shown))


def sharpness_of_vae(twin: Twin, *, limit: int) -> float:
    """Laplacian energy that the VAE keeps of unseen pictures."""
    shown = held_out(limit)
    kept = decode(twin, encode_pixels(twin.vae, pictures(shown))).cpu()
    return sharpness(kept, reference=exact(shown))


def score_spread(twin: Twin, *, limit: int, **sampling: Any) -> float:
    """Variance over 16 seeds under a plain caption, over that of 16 exact pictures; means over captions."""
    drawn, true = torch.zeros(()), torch.zeros(())
    for number, name in enumerate(sorted(names(), key=digest)[:limit]):
        shown = of_caption(name, count=SPREAD_SEEDS)
        true += exact(shown).var(0).mean()
        drawn += draw(twin, [name] * SPREAD_SEEDS, seed=number, **sampling).var(0).mean()
    return float(drawn / true)


def held_out(count: int) -> list[VariedEmoji]:
    """Pictures that were not in training."""
    return [draw_varied(HELD_OUT_SEED, index=index) for index in range(count)]


def exact(shown: Sequence[VariedEmoji]) -> Float[Tensor, " b 3 h w"]:
    """The renders in [0, 1]."""
    return pictures(shown).permute(0, 3, 1, 2).float() / 255


def features(shown: Float[Tensor, " b 3 h w"]) -> Float[Tensor, " b f"]:
    """What pictures are compared by."""
    return avg_pool2d(shown, 2).flatten(1)


@functools.cache
def _options(name: str) -> Float[Tensor, " n f"]:
    """Features of every upright picture of an emoji, without confetti."""
    return features(truth(upright(name)))


def upright(name: str) -> list[EmojiSpec]:
    """Every picture of an emoji that is not tilted."""
    return [spec for spec in variations(name) if spec.tilt == "upright"]


def of_caption(name: str, *, count: int) -> list[VariedEmoji]:
    """Exact pictures of one plain caption: the first that tell nothing but the name."""
    found = (draw_varied(HELD_OUT_SEED, index=index, name=name) for index in itertools.count())
    return list(itertools.islice((picture for picture in found if picture.caption == name), count))
