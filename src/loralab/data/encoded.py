"""A collection whose tensors lie on disk: makes batches of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from loralab.data.batch import Batch
from loralab.data.cache import Address, Cache
from loralab.data.collect import Collection
from loralab.data.loader import ResumableLoader
from loralab.data.plan import Draw, Plan, validation_draws
from loralab.data.ram import Ram
from loralab.data.records import Bucket
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
        plan = Plan(self.collection, seed=seed, micro_batch_size=micro_batch_size)
        remembering = dataclasses.replace(self, ram=self._training_ram(pinned=pinned))
        batches = PlannedBatches(remembering, plan, num_micro_steps)
        return ResumableLoader(batches, num_workers=self.collection.num_workers, pinned=pinned)

    def validation_batches(self, micro_batch_size: int) -> list[Batch]:
        """Gives every validation picture once per resolution, always in the same batches."""
        planned = validation_draws(self.collection.validation, micro_batch_size=micro_batch_size)
        return [self.batch(draws, index=index) for index, draws in enumerate(planned)]

    def latents_shapes(self) -> list[tuple[int, int, int]]:
        """Gives the shapes (c, h, w) of training batches, the most frequent first."""
        return list(dict.fromkeys(self.places.shapes[bucket] for bucket in self.collection.buckets))

    def prompt_embeds(self, prompt: str) -> Float[Tensor, " l d"]:
        """Gives the embeddings of a prompt of the set, an extra prompt or the empty prompt."""
        return self._read(self.places.prompts[prompt])

    def batch(self, draws: Sequence[Draw], *, index: int) -> Batch:
        """Gives the batch of these draws."""
        places = [self.places.latents[draw.record.key, draw.bucket, draw.flipped] for draw in draws]
        masked = self.collection.showing.masked
        return Batch(
            latents=_stacked([self._read(place) for place in places]),
            prompt_embeds=_stacked_if_alike([self.prompt_embeds(draw.prompt) for draw in draws]),
            weight=torch.tensor([draw.weight for draw in draws], dtype=torch.float32),
            mask=torch.stack([self._mask(draw) for draw in draws]) if masked else None,
            index=index,
            captions=tuple(draw.prompt for draw in draws),
            keys=tuple(draw.record.key for draw in draws),
        )

    def summary(self) -> dict[str, Any]:
        """Gives counts for the log and for `result.json`."""
        parts = self.collection
        return {
            "train": len(parts.train),
            "validation": len(parts.validation),
            "regularization": len(parts.regularization),
            "left_out": len(parts.problems),
            "buckets": {str(bucket): count for bucket, count in parts.buckets.items()},
            **asdict(self.counts),
        }

    def _mask(self, draw: Draw) -> Float[Tensor, " 1 h w"]:
        """The share of the loss that counts; everything where the picture has no mask."""
        if draw.record.mask_path is None:
            return torch.ones(1, *self.places.shapes[draw.bucket][1:])
        mask = self._read(self.places.masks[draw.record.mask_path, draw.bucket])
        floor = self.collection.showing.unmasked_weight
        return floor + (1 - floor) * (mask.flip(-1) if draw.flipped else mask)

    def _training_ram(self, *, pinned: bool) -> Ram:
        """Each process that reads keeps its own part; only this one may use page-locked memory."""
        num_bytes, num_workers = int(self.collection.ram_cache_gib * 2**30), self.collection.num_workers
        return Ram(num_bytes=num_bytes // max(num_workers, 1), pinned=pinned and not num_workers)

    def _read(self, address: Address) -> Tensor:
        return self.ram.get(address, self._from_disk)

    def _from_disk(self, address: Address) -> Tensor:
        tensor = self.cache.read(address)
        if tensor is None:
            path = self.cache.path(address)
            raise UserError(
                f"{path} was lost or damaged while in use. Resume the run: it will be made again."
            )
        return tensor


class PlannedBatches(torch.utils.data.Dataset[Batch]):
    """Batches by micro-step; item k is the batch of micro-step k."""

    def __init__(self, encoded: EncodedDataset, plan: Plan, num_micro_steps: int) -> None:
        self._encoded, self._plan, self._num_micro_steps = encoded, plan, num_micro_steps

    def __len__(self) -> int:
        return self._num_micro_steps

    def __getitem__(self, index: int) -> Batch:
        return self._encoded.batch(self._plan.draws(index), index=index)


def _stacked(tensors: list[Tensor]) -> Tensor:
    """One tensor is not copied: it may lie in page-locked memory already."""
    return torch.stack(tensors) if len(tensors) > 1 else tensors[0][None]


def _stacked_if_alike(tensors: list[Tensor]) -> Tensor | list[Tensor]:
    return _stacked(tensors) if len({tensor.shape for tensor in tensors}) == 1 else tensors
