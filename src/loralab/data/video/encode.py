"""Encodes clips once: prompts, videos and references, sound, masks; each network is freed before the next.

What the cache already holds is not encoded again; where it holds everything, no encoder is loaded at all. A file whose
content is no longer what it was when the clip was checked is refused: its latents would stand under another's name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from loralab.data.cache import Address, Cache, digest
from loralab.data.fill import Work, fill
from loralab.data.video.clip import Clip
from loralab.data.video.contents import UnreadableError
from loralab.data.video.encoded import ClipCounts, ClipPlaces, EncodedClips, Places
from loralab.data.video.encoders import ClipEncoders, PromptEmbeds
from loralab.data.video.fingerprint import (
    audio_fingerprint,
    audio_mask_fingerprint,
    mask_fingerprint,
    video_fingerprint,
)
from loralab.data.video.records import ClipCollection
from loralab.data.video.references import ReferenceRules
from loralab.errors import UserError
from loralab.files import sha256_file

PROMPTS_AT_ONCE = 8


@dataclass(frozen=True)
class Piece:
    """What one tensor is made of.

    Attributes:
        path: the file that is read.
        key: SHA-256 of its content when it was checked, hex.
        read: reads it.
    """

    path: Path
    key: str
    read: Callable[[], Tensor | None]

    def __repr__(self) -> str:
        return str(self.path)

    def decoded(self) -> Tensor:
        """Reads the file, once it is seen to be what it was.

        Raises:
            UserError: if it has changed, or cannot be decoded so far.
        """
        try:
            same = sha256_file(self.path) == self.key
        except OSError as error:
            raise UserError(f"{self.path} was good a moment ago and cannot be read now: {error}") from error
        if not same:
            raise UserError(f"{self.path} was changed while the run was starting. Start it again.")
        try:
            tensor = self.read()
        except UnreadableError as error:
            raise UserError(f"{error.path} {error.reason}") from error
        assert tensor is not None
        return tensor


def encode_clips(
    collection: ClipCollection,
    encoders: ClipEncoders,
    *,
    extra_prompts: Sequence[str] = (),
    show_progress: bool = True,
) -> EncodedClips:
    """Gives the collection as tensors on disk.

    Args:
        collection: what to encode.
        encoders: by which model.
        extra_prompts: prompts of previews and the like, encoded in the same pass; the empty prompt always is.
        show_progress: draw progress bars.

    Raises:
        UserError: if a file cannot be decoded so far, or has changed since it was checked.
    """
    started = time.monotonic()
    places = _places(collection, encoders, extra_prompts=extra_prompts)
    cache, counts = Cache(collection.cache_root), dict[str, int]()
    for name, work, items in _works(collection, encoders, places):
        encoded = fill(cache, work, items=items, show_progress=show_progress)
        counts |= {name: len(items), f"{name}_encoded": encoded}
    return EncodedClips(
        collection=collection,
        cache=cache,
        places=places,
        prompt_widths=encoders.prompt_widths,
        counts=ClipCounts(**counts, encode_s=time.monotonic() - started),
    )


def cached_clips(collection: ClipCollection, encoders: ClipEncoders) -> dict[str, tuple[int, int]]:
    """Counts the tensors that a collection will need, by kind: how many files are there, and how many there will be."""
    cache, places = Cache(collection.cache_root), _places(collection, encoders, extra_prompts=())
    return {
        name: (sum(cache.path(address).is_file() for address, _ in items), len(items))
        for name, _, items in _works(collection, encoders, places)
        if items
    }


def _places(collection: ClipCollection, encoders: ClipEncoders, *, extra_prompts: Sequence[str]) -> Places:
    """Addresses of all that will be needed; reads no weights."""
    by_text, version = encoders.prompt_fingerprint(), encoders.base_version
    has_sound = any(record.clip.sound is not None for record in collection.records)
    of_video = digest(encoders.video_fingerprint(), version)
    of_audio = digest(encoders.audio_fingerprint(), version) if has_sound else ""
    prompts = ["", *(prompt for record in collection.records for prompt in record.prompts), *extra_prompts]
    return Places(
        prompts={prompt: Address("prompts", by_text, digest(prompt)) for prompt in dict.fromkeys(prompts)},
        clips={
            (record.key, record.name): _clip_places(
                record.clip, encoders, collection.references, of_video=of_video, of_audio=of_audio
            )
            for record in collection.records
        },
    )


def _clip_places(
    clip: Clip, encoders: ClipEncoders, references: ReferenceRules | None, *, of_video: str, of_audio: str
) -> ClipPlaces:
    version, bucket = encoders.base_version, clip.bucket
    num_sounds = encoders.audio_latents_shape(seconds=clip.duration)[1] if clip.sound else 0
    sound = audio_fingerprint(clip, base_version=version)
    video_mask, audio_mask = mask_fingerprint(clip), audio_mask_fingerprint(clip, num_latents=num_sounds)
    return ClipPlaces(
        shape=encoders.video_latents_shape(frames=bucket.frames, height=bucket.height, width=bucket.width),
        num_sounds=num_sounds,
        video=Address("latents", of_video, video_fingerprint(clip, base_version=version)),
        audio=None if sound is None else Address("audio", of_audio, sound),
        reference=None
        if references is None
        else Address("latents", of_video, references.fingerprint(clip, base_version=version)),
        video_mask=None if video_mask is None else Address("masks", digest("video"), video_mask),
        audio_mask=None if audio_mask is None else Address("masks", digest("audio"), audio_mask),
    )


def _works(
    collection: ClipCollection, encoders: ClipEncoders, places: Places
) -> Iterator[tuple[str, Work[Any], list[tuple[Address, Any]]]]:
    """Yields each kind of tensor with what makes it and what is wanted of it."""
    clips = [(record.clip, places.of(record)) for record in collection.records]
    seen, heard, masked = (dict[Address, Piece]() for _ in range(3))
    for clip, place in clips:
        seen[place.video] = Piece(clip.video.path, clip.video.key, clip.pixels)
        if place.reference is not None and collection.references is not None:
            shown = clip.reference or clip.video
            pixels = partial(collection.references.pixels, clip)
            seen[place.reference] = Piece(shown.path, shown.key, pixels)
        if place.audio is not None and clip.sound is not None:
            heard[place.audio] = Piece(clip.sound.path, clip.sound.key, clip.audio)
        if place.video_mask is not None and clip.video_mask is not None:
            masked[place.video_mask] = Piece(
                clip.video_mask.path, clip.video_mask.key, clip.video_mask_latents
            )
        if place.audio_mask is not None and clip.audio_mask is not None:
            pooled = partial(clip.audio_mask_latents, place.num_sounds)
            masked[place.audio_mask] = Piece(clip.audio_mask.path, clip.audio_mask.key, pooled)
    yield "prompts", _prompts(encoders), [(address, prompt) for prompt, address in places.prompts.items()]
    yield "latents", _pictures(encoders), list(seen.items())
    yield "sounds", _sounds(encoders), list(heard.items())
    yield "masks", _masks(), list(masked.items())


def _prompts(encoders: ClipEncoders) -> Work[str]:
    return Work(
        label="encode prompts",
        compute=lambda prompts: [_side_by_side(embeds) for embeds in encoders.encode_prompts(prompts)],
        at_once=lambda _: PROMPTS_AT_ONCE,
        release=lambda: encoders.release("text_encoder"),
    )


def _side_by_side(embeds: PromptEmbeds) -> Float[Tensor, " l d"]:
    """Both streams of a prompt in one tensor; they are of one length."""
    return torch.cat([embeds.video, embeds.audio], dim=-1)


def _pictures(encoders: ClipEncoders) -> Work[Piece]:
    return Work(
        label="encode videos",
        compute=lambda pieces: [
            encoders.encode_video(_scaled(piece.decoded()))[0].float() for piece in pieces
        ],
        release=lambda: encoders.release("vae"),
    )


def _sounds(encoders: ClipEncoders) -> Work[Piece]:
    return Work(
        label="encode sound",
        compute=lambda pieces: [encoders.encode_audio(piece.decoded()).float() for piece in pieces],
        release=lambda: encoders.release("audio_vae"),
    )


def _masks() -> Work[Piece]:
    return Work(label="prepare masks", compute=lambda pieces: [piece.decoded() for piece in pieces])


def _scaled(frames: UInt8[Tensor, " f h w 3"]) -> Float[Tensor, " 1 3 f h w"]:
    """Gives pixels in [-1, 1]."""
    return (frames.permute(3, 0, 1, 2).float() / 127.5 - 1)[None]
