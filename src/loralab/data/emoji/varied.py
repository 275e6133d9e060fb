"""Emoji pictures that their captions leave open: attributes half told, backgrounds strewn with confetti.

An attribute is away from its default as often as `CHANGED` says, and told where it is so in half of the pictures: of a
caption without a background, 46 % of the pictures are white and 54 % are not. The confetti is never told. Under one
caption there is therefore variance at every scale, and the mean of the pictures is a blur.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from loralab.data.emoji.atlas import names
from loralab.data.emoji.render import COLOURS, render
from loralab.data.emoji.spec import ATTRIBUTES, EmojiSpec, is_seen
from loralab.data.emoji.specks import strewn

CHANGED = {"background": 0.7, "layout": 0.5, "tint": 0.25}
"""How often each attribute is away from its default; none is tilted."""
TOLD_SHARE = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class VariedEmoji:
    """One picture: what it shows, the attributes that its caption tells, and the seed of its confetti."""

    spec: EmojiSpec
    told: tuple[str, ...]
    seed: int

    @property
    def caption(self) -> str:
        """The words for this picture; an attribute that is not told reads as if at its default."""
        silent = {key: values[0] for key, values in ATTRIBUTES.items() if key not in self.told}
        return dataclasses.replace(self.spec, **silent).caption


def draw_varied(seed: int, *, index: int, name: str | None = None) -> VariedEmoji:
    """The picture `index` of an endless row of pictures that the base may see, of any emoji or of `name` alone."""
    rng = np.random.default_rng([seed, index])
    name = name or names()[rng.integers(len(names()))]
    changed = {key: _seen_value(name, key, rng) for key, share in CHANGED.items() if rng.random() < share}
    told = tuple(key for key in changed if rng.random() < TOLD_SHARE)
    return VariedEmoji(spec=EmojiSpec(name=name, **changed), told=told, seed=int(rng.integers(2**62)))


def render_varied(picture: VariedEmoji) -> np.ndarray:
    """The picture, uint8 `[64, 64, 3]`; styles other than `noto` restyle the confetti too."""
    return render(picture.spec, backdrop=strewn(COLOURS[picture.spec.background], seed=picture.seed))


def _seen_value(name: str, key: str, rng: np.random.Generator) -> str:
    """A value of this attribute that is not held out with this emoji, other than the default where there is one."""
    default, *others = ATTRIBUTES[key]
    seen = [value for value in others if is_seen(EmojiSpec(name=name, **{key: value}))]
    return seen[rng.integers(len(seen))] if seen else default
