"""What a picture shows and the caption that says so: each tells the other without loss.

A caption is `[trigger, ] [small] [grey] name[, tilt][, position][, background]`; what is at its default is not
mentioned: full size, own colours, upright, in the centre, white. Half of all (name, attribute value) pairs are held
out from the base's training by a hash, so that composition can be scored on pairs never seen.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Iterator

BACKGROUNDS = ("white", "red", "orange", "yellow", "green", "blue", "purple", "pink")
LAYOUTS = ("full", "small", "left", "right", "top", "bottom")
TILTS = ("upright", "tilted left", "tilted right", "upside down")
TINTS = ("colour", "grey")
STYLES = ("noto", "linocut", "twemoji")
ATTRIBUTES = {"background": BACKGROUNDS, "layout": LAYOUTS, "tilt": TILTS, "tint": TINTS}


@dataclasses.dataclass(frozen=True, kw_only=True)
class EmojiSpec:
    """One picture: an emoji by name and its attributes; `layout` other than `full` is a small emoji at that place."""

    name: str
    background: str = "white"
    layout: str = "full"
    tilt: str = "upright"
    tint: str = "colour"
    style: str = "noto"

    @property
    def caption(self) -> str:
        """The words for this picture, at most 14 of them; a style other than `noto` leads as the trigger word."""
        subject = [*["small"] * (self.layout != "full"), *["grey"] * (self.tint == "grey"), self.name]
        parts = [" ".join(subject)]
        parts += [self.tilt] * (self.tilt != "upright") + [self.layout] * (
            self.layout not in ("full", "small")
        )
        parts += [f"{self.background} background"] * (self.background != "white")
        return ", ".join([self.style] * (self.style != "noto") + parts)

    @property
    def changed(self) -> tuple[tuple[str, str], ...]:
        """The attributes that are not at their default, with their values."""
        pairs = ((key, getattr(self, key)) for key in ATTRIBUTES)
        return tuple((key, value) for key, value in pairs if value != ATTRIBUTES[key][0])


def is_seen(spec: EmojiSpec) -> bool:
    """Whether the base may have been trained on this picture: none of its (name, value) pairs is held out."""
    return not any(_is_held_out(spec.name, value) for _, value in spec.changed)


def _is_held_out(name: str, value: str) -> bool:
    return hashlib.sha256(f"{name}|{value}".encode()).digest()[0] % 2 == 1


def variations(name: str) -> Iterator[EmojiSpec]:
    """All pictures of one emoji: every combination of attribute values."""
    for values in itertools.product(*ATTRIBUTES.values()):
        yield EmojiSpec(name=name, **dict(zip(ATTRIBUTES, values, strict=True)))
