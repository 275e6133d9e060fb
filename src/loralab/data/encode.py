"""Encodes a collection once: all prompts, then the text encoder is freed, then all pictures, then the VAE is freed.

What the cache already holds is not encoded again; where it holds everything, no encoder is loaded at all. Latents
are kept in fp32, prompt embeddings in the precision in which the text encoder gave them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from loralab.data.cache import Address, Cache, digest
from loralab.data.collect import Collection
from loralab.data.encoded import Counts, EncodedDataset, Places
from loralab.data.encoders import Encoders
from loralab.data.fill import Work, fill
from loralab.data.images import fit_mask, fit_to, load_alpha, load_mask, load_picture
from loralab.data.plan import encodings
from loralab.data.records import Bucket, Record
from loralab.errors import UserError
from loralab.files import sha256_file

PROMPTS_AT_ONCE = 8
PICTURES_AT_ONCE = 16
PIXELS_AT_ONCE = 2 * 1024 * 1024
"""Two pictures of 1024x1024 keep a VAE busy; more would only cost memory."""
PREPARATION = "rgb-cover-lanczos-1"
MASK_PREPARATION = "grey-cover-box-1"

Picture = tuple[Record, Bucket, bool]


def encode(
    collection: Collection,
    encoders: Encoders,
    *,
    cache_root: Path | None = None,
    extra_prompts: Sequence[str] = (),
    show_progress: bool = True,
) -> EncodedDataset:
    """Gives the collection as tensors on disk.

    Args:
        collection: what to encode.
        encoders: by which model.
        cache_root: where the tensors are kept, if not where the collection keeps its files.
        extra_prompts: prompts of previews and the like, encoded in the same pass; the empty prompt always is.
        show_progress: draw progress bars.
    """
    started = time.monotonic()
    prompts, pictures = encodings(collection)
    places = _places(encoders, prompts=["", *prompts, *extra_prompts], pictures=pictures)
    cache = Cache(cache_root or collection.cache_root)
    counts = Counts(
        prompts=len(places.prompts),
        prompts_encoded=_fill_prompts(cache, places, encoders, show_progress=show_progress),
        latents=len(pictures),
        latents_encoded=_fill_latents(
            cache, places, encoders, pictures=pictures, show_progress=show_progress
        ),
        masks=len(places.masks),
        masks_encoded=_fill_masks(cache, places, pictures=pictures, show_progress=show_progress),
        encode_s=time.monotonic() - started,
    )
    return EncodedDataset(collection=collection, cache=cache, places=places, counts=counts)


def cached(collection: Collection, encoders: Encoders) -> dict[str, tuple[int, int]]:
    """Counts the tensors that a collection will need, by kind: how many files are there, and how many there will be.

    Reads no tensor; previews may ask for a few prompts more.
    """
    prompts, pictures = encodings(collection)
    places = _places(encoders, prompts=["", *prompts], pictures=pictures)
    cache = Cache(collection.cache_root)
    kinds: dict[str, dict[Any, Address]] = {
        "prompts": dict(places.prompts), "latents": dict(places.latents), "masks": dict(places.masks)
    }  # fmt: skip
    return {
        kind: (sum(cache.path(address).is_file() for address in found.values()), len(found))
        for kind, found in kinds.items()
        if found
    }


def _places(encoders: Encoders, *, prompts: Sequence[str], pictures: Sequence[Picture]) -> Places:
    """Addresses of all that will be needed; reads no weights."""
    by_text, by_pixels = encoders.prompt_fingerprint(), latents_fingerprint(encoders)
    shapes = {
        bucket: encoders.latents_shape(height=bucket.height, width=bucket.width)
        for bucket in {bucket for _, bucket, _ in pictures}
    }
    masks = {record.mask_path: record for record, _, _ in pictures if record.mask_path}
    contents = {path: sha256_file(path) for path in masks}
    return Places(
        shapes=shapes,
        prompts={prompt: Address("prompts", by_text, digest(prompt)) for prompt in prompts},
        latents={
            (record.key, bucket, flipped): latents_address(
                by_pixels, record.key, bucket=bucket, flipped=flipped
            )
            for record, bucket, flipped in pictures
        },
        masks={
            (record.mask_path, bucket): _mask_address(
                record, contents[record.mask_path], shape=shapes[bucket]
            )
            for record, bucket, _ in pictures
            if record.mask_path
        },
    )


def latents_fingerprint(encoders: Encoders) -> str:
    """Digests all that latents depend on besides the picture and its size."""
    return digest(encoders.pixel_fingerprint(), PREPARATION)


def latents_address(fingerprint: str, key: str, *, bucket: Bucket, flipped: bool = False) -> Address:
    """Gives where the latents of a picture lie, by the hash of its file and by its size."""
    return Address("latents", fingerprint, digest(key, bucket, flipped))


def _mask_address(record: Record, content: str, *, shape: Sequence[int]) -> Address:
    kind = "alpha" if record.mask_path == record.path else "file"
    return Address("masks", digest(MASK_PREPARATION), digest(content, kind, *shape[1:]))


def _fill_prompts(cache: Cache, places: Places, encoders: Encoders, *, show_progress: bool) -> int:
    work = Work[str](
        label="encode prompts",
        compute=lambda prompts: list(encoders.encode_prompts(prompts)),
        at_once=lambda _: PROMPTS_AT_ONCE,
        release=lambda: encoders.release("text_encoder"),
    )
    items = [(address, prompt) for prompt, address in places.prompts.items()]
    return fill(cache, work, items=items, show_progress=show_progress)


def _fill_latents(
    cache: Cache, places: Places, encoders: Encoders, *, pictures: Sequence[Picture], show_progress: bool
) -> int:
    work = Work[Picture](
        label="encode pictures",
        compute=lambda piece: list(encoders.encode_pixels(_pixels(piece)).float()),
        at_once=lambda picture: max(
            1, min(PICTURES_AT_ONCE, PIXELS_AT_ONCE // (picture[1].height * picture[1].width))
        ),
        group=lambda picture: picture[1],
        release=lambda: encoders.release("vae"),
    )
    items = [
        (places.latents[record.key, bucket, flipped], (record, bucket, flipped))
        for record, bucket, flipped in pictures
    ]
    items.sort(key=lambda item: (item[1][1], item[0].key))
    return fill(cache, work, items=items, show_progress=show_progress)


def _fill_masks(cache: Cache, places: Places, *, pictures: Sequence[Picture], show_progress: bool) -> int:
    work = Work[tuple[Record, Bucket]](
        label="prepare masks",
        compute=lambda piece: [_mask(record, places.shapes[bucket]) for record, bucket in piece],
    )
    masked = {(record.mask_path, bucket): record for record, bucket, _ in pictures if record.mask_path}
    items = [(places.masks[path, bucket], (record, bucket)) for (path, bucket), record in masked.items()]
    return fill(cache, work, items=items, show_progress=show_progress)


def _pixels(pictures: Sequence[Picture]) -> Float[Tensor, " b 3 height width"]:
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return torch.stack(list(pool.map(_fitted, pictures)))


def _fitted(picture: Picture) -> Float[Tensor, " 3 height width"]:
    record, bucket, flipped = picture
    try:
        if sha256_file(record.path) != record.key:
            raise UserError(f"{record.path} was changed while the run was starting. Start it again.")
        pixels = fit_to(load_picture(record.path), height=bucket.height, width=bucket.width)
    except OSError as error:
        raise UserError(f"{record.path} was good a moment ago and cannot be read now: {error}") from error
    return pixels.flip(-1) if flipped else pixels


def _mask(record: Record, shape: Sequence[int]) -> Float[Tensor, " 1 h w"]:
    assert record.mask_path is not None
    mask = load_alpha(record.path) if record.mask_path == record.path else load_mask(record.mask_path)
    assert mask is not None
    return fit_mask(mask, height=shape[1], width=shape[2])
