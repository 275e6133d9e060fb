"""How well a nano pipeline draws what it is told: retrieval of seen captions, attributes of pairs seen and never seen.

Retrieval: a picture drawn for a plain caption counts when its name's exact render is the nearest of all names'.
Attribute: a picture drawn for a (name, value) pair, held out from training or seen, counts when the exact render with
that value is the nearest of the renders with every value of that attribute. Distance: mean squared difference of
pixels after a blur of 3x3, in [0, 1]. Chance is one over the number of alternatives. Intervals are Wilson's at 95 %.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from loralab.data.emoji.atlas import names
from loralab.data.emoji.render import render
from loralab.data.emoji.spec import ATTRIBUTES, EmojiSpec, is_seen
from loralab.nano.fit import best_device
from loralab.nano.klein import GUIDANCE_SCALE, NUM_STEPS, TEXT_LAYERS
from loralab.nano.words import MAX_SEQUENCE_LENGTH

PAIRS = 200
"""Pairs asked of each attribute, where there are so many."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
    """A share of right answers with its 95 % interval, beside chance."""

    what: str
    right: int
    asked: int
    chance: float

    @property
    def share(self) -> float:
        """Right answers over questions."""
        return self.right / self.asked

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's interval for the share, z = 1.96."""
        n, p, z = self.asked, self.share, 1.96
        middle, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return (middle - spread) / (1 + z * z / n), (middle + spread) / (1 + z * z / n)

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.what}: {self.share:.1%} [{low:.1%}, {high:.1%}] of {self.asked}, chance {self.chance:.1%}"
        )


def load_pipeline(folder: Path) -> Any:
    """The pipeline of a diffusers folder in fp32, silent, on the best device here."""
    from diffusers import Flux2KleinPipeline

    pipeline = Flux2KleinPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.text_encoder.float()  # the others load in fp32 by themselves
    return pipeline.to(best_device())


def score_all(pipeline: Any, *, limit: int | None = None) -> Iterator[Score]:
    """Every score in turn; `limit` asks for fewer captions of each."""
    yield score_retrieval(pipeline, limit=limit)
    for seen in (True, False):
        for attribute in ATTRIBUTES:
            yield score_attribute(pipeline, attribute, seen=seen, limit=limit or PAIRS)


def draw(
    pipeline: Any,
    captions: Sequence[str],
    *,
    num_steps: int = NUM_STEPS,
    guidance_scale: float = GUIDANCE_SCALE,
    seed: int = 0,
    batch_size: int = 64,
) -> Float[Tensor, " b 3 h w"]:
    """Pictures in [0, 1] as the pipeline draws them at the nano's own settings."""
    parts = []
    for start in range(0, len(captions), batch_size):
        output = pipeline(
            prompt=list(captions[start : start + batch_size]),
            height=64,
            width=64,
            num_inference_steps=num_steps,
            guidance_scale=guidance_scale,
            max_sequence_length=MAX_SEQUENCE_LENGTH,
            text_encoder_out_layers=TEXT_LAYERS,
            generator=torch.Generator().manual_seed(seed + start),
            output_type="pt",
        )
        parts.append(output.images.float().cpu())
    return torch.cat(parts)


def score_retrieval(pipeline: Any, *, limit: int | None = None, **sampling: Any) -> Score:
    """Top-1 retrieval over plain captions among all names; `limit` asks for fewer names, spread by hash."""
    asked = sorted(names(), key=digest)[:limit]
    pictures = draw(pipeline, [EmojiSpec(name=name).caption for name in asked], **sampling)
    bank = truth([EmojiSpec(name=name) for name in names()])
    nearest = torch.cdist(_features(pictures), _features(bank)).argmin(1)
    right = sum(names()[index] == name for index, name in zip(nearest.tolist(), asked, strict=True))
    return Score(what="retrieval of plain captions", right=right, asked=len(asked), chance=1 / len(names()))


def score_attribute(
    pipeline: Any, attribute: str, *, seen: bool = False, limit: int | None = None, **sampling: Any
) -> Score:
    """Accuracy on (name, value) pairs, held out or seen; `limit` asks for fewer of them, spread by hash."""
    values = ATTRIBUTES[attribute]
    pairs = [EmojiSpec(name=name, **{attribute: value}) for name in names() for value in values[1:]]
    asked = sorted((spec for spec in pairs if is_seen(spec) == seen), key=lambda spec: digest(spec.caption))[
        :limit
    ]
    pictures = _features(draw(pipeline, [spec.caption for spec in asked], **sampling))
    right = 0
    for picture, spec in zip(pictures, asked, strict=True):
        options = truth([dataclasses.replace(spec, **{attribute: value}) for value in values])
        nearest = int(torch.cdist(picture[None], _features(options)).argmin())
        right += values[nearest] == getattr(spec, attribute)
    what = f"{attribute} of {'seen' if seen else 'unseen'} pairs"
    return Score(what=what, right=right, asked=len(asked), chance=1 / len(values))


def truth(specs: Sequence[EmojiSpec]) -> Float[Tensor, " b 3 h w"]:
    """The exact renders in [0, 1]."""
    return torch.from_numpy(np.stack([render(spec) for spec in specs])).permute(0, 3, 1, 2).float() / 255


def _features(pictures: Float[Tensor, " b 3 h w"]) -> Float[Tensor, " b f"]:
    return torch.nn.functional.avg_pool2d(pictures, 3, stride=1, padding=1, count_include_pad=False).flatten(
        1
    )


def digest(text: str) -> bytes:
    """Bytes to sort by, so that a choice is spread and the same everywhere."""
    return hashlib.sha256(text.encode()).digest()
