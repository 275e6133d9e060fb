"""A collection whose tensors lie on disk: makes batches of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from loralab.data.batch import AnyBatch, Batch
from loralab.data.cache import Address, Cache, digest
from loralab.data.collect import Collection
from loralab.data.loader import ResumableLoader
from loralab.data.plan import Draw, Plan, validation_draws
from loralab.data.ram import Ram
from loralab.data.records import Bucket, Record
from loralab.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What encoding did: how many tensors there are, how many had to be made, how long it took."""

    prompts: int
    prompts_encoded: int
    latents: int
    latents_encoded: int
    masks: int
    masks_encoded: int
    encode_s: float


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where each tensor lies.

    Attributes:
        shapes: of the latents, by bucket.
        prompts: by prompt.
        latents: by picture key, bucket and mirroring.
        masks: by mask file and bucket.
    """

    shapes: dict[Bucket, tuple[int, int, int]]
    prompts: dict[str, Address]
    latents: dict[tuple[str, Bucket, bool], Address]
    masks: dict[tuple[Path, Bucket], Address]


@dataclass(frozen=True, kw_only=True)
class EncodedDataset:
    """Encoded pictures and prompts of a run.

    Attributes:
        collection: the records behind it.
        cache: where the tensors lie.
        places: under which address.
        counts: what encoding did.
        ram: what stays in memory once it was read.
    """

    collection: Collection
    cache: Cache
    places: Places
    counts: Counts
    ram: Ram = field(default_factory=lambda: Ram(num_bytes=0))

    def loader(
        self, *, micro_batch_size: int, num_micro_steps: int, seed: int, pinned: bool = False
    ) -> ResumableLoader:
        """Gives the training batches of micro-steps 0 to num_micro_steps - 1, for a GPU in page-locked memory."""
        plan: Plan[Record, Bucket] = Plan(self.collection, seed=seed, micro_batch_size=micro_batch_size)
        collection = self.collection
        ram = Ram.shared(gib=collection.ram_cache_gib, num_workers=collection.num_workers, pinned=pinned)
        remembering = dataclasses.replace(self, ram=ram)
        batches = PlannedBatches(remembering.batch, plan, num_micro_steps)
        return ResumableLoader(batches, num_workers=self.collection.num_workers, pinned=pinned)

    def validation_batches(self, micro_batch_size: int) -> list[Batch]:
        """Gives every validation picture once per resolution, always in the same batches."""
        planned: list[list[Draw[Record, Bucket]]] = validation_draws(
            self.collection.validation, micro_batch_size=micro_batch_size
        )
        return [self.batch(draws, index=index) for index, draws in enumerate(planned)]

    def latents_shapes(self) -> list[tuple[int, int, int]]:
        """Gives the shapes (c, h, w) of training batches, the most frequent first."""
        return list(dict.fromkeys(self.places.shapes[bucket] for bucket in self.collection.buckets))

    def prompt_embeds(self, prompt: str) -> Float[Tensor, " l d"]:
        """Gives the embeddings of a prompt of the set, an extra prompt or the empty prompt."""
        return self._read(self.places.prompts[prompt])

    def batch(self, draws: Sequence[Draw[Record, Bucket]], *, index: int) -> Batch:
        """Gives the batch of these draws."""
        places = [self.places.latents[draw.record.key, draw.bucket, draw.flipped] for draw in draws]
        masked = self.collection.showing.masked
        return Batch(
            latents=stacked([self._read(place) for place in places]),
            prompt_embeds=_stacked_if_alike([self.prompt_embeds(draw.prompt) for draw in draws]),
            weight=torch.tensor([draw.weight for draw in draws], dtype=torch.float32),
            mask=torch.stack([self._mask(draw) for draw in draws]) if masked else None,
            index=index,
            captions=tuple(draw.prompt for draw in draws),
            keys=tuple(draw.record.key for draw in draws),
        )

    def summary(self) -> dict[str, Any]:
        """Gives counts for the log and for `result.json`, and a digest of all pictures and what is told of them."""
        parts = self.collection
        records = (*parts.train, *parts.validation, *parts.regularization)
        return {
            "train": len(parts.train),
            "validation": len(parts.validation),
            "regularization": len(parts.regularization),
            "left_out": len(parts.problems),
            "buckets": {str(bucket): count for bucket, count in parts.buckets.items()},
            "digest": digest(*((record.key, record.prompts) for record in records)),
            **asdict(self.counts),
        }

    def _mask(self, draw: Draw[Record, Bucket]) -> Float[Tensor, " 1 h w"]:
        """The share of the loss that counts; everything where the picture has no mask."""
        if draw.record.mask_path is None:
            return torch.ones(1, *self.places.shapes[draw.bucket][1:])
        mask = self._read(self.places.masks[draw.record.mask_path, draw.bucket])
        floor = self.collection.showing.unmasked_weight
        return floor + (1 - floor) * (mask.flip(-1) if draw.flipped else mask)

    def _read(self, address: Address) -> Tensor:
        return self.ram.get(address, lambda place: from_disk(self.cache, place))


class PlannedBatches(torch.utils.data.Dataset[Any]):
    """Batches by micro-step; item k is the batch of micro-step k."""

    def __init__(self, make: Callable[..., AnyBatch], plan: Plan[Any, Any], num_micro_steps: int) -> None:
        """Takes what makes a batch of draws and the number of a micro-step, and the plan of draws."""
        self._make, self._plan, self._num_micro_steps = make, plan, num_micro_steps

    def __len__(self) -> int:
        return self._num_micro_steps

    def __getitem__(self, index: int) -> AnyBatch:
        return self._make(self._plan.draws(index), index=index)


def from_disk(cache: Cache, address: Address) -> Tensor:
    """Gives a tensor that was there when the run began.

    Raises:
        UserError: if it is not there any more.
    """
    tensor = cache.read(address)
    if tensor is None:
        path = cache.path(address)
        raise UserError(f"{path} was lost or damaged while in use. Resume the run: it will be made again.")
    return tensor


def stacked(tensors: list[Tensor]) -> Tensor:
    """Gives tensors of one shape as one; a single one is not copied: it may lie in page-locked memory already."""
    return torch.stack(tensors) if len(tensors) > 1 else tensors[0][None]


def _stacked_if_alike(tensors: list[Tensor]) -> Tensor | list[Tensor]:
    return stacked(tensors) if len({tensor.shape for tensor in tensors}) == 1 else tensors
