"""A collection of clips whose tensors lie on disk: makes batches of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from loralab.data.cache import Address, Cache, digest
from loralab.data.encoded import PlannedBatches, from_disk, stacked
from loralab.data.loader import ResumableLoader
from loralab.data.plan import Draw, Plan, validation_draws
from loralab.data.ram import Ram
from loralab.data.video.batch import ClipBatch
from loralab.data.video.encoders import PromptEmbeds
from loralab.data.video.records import ClipCollection, ClipRecord, ClipShape

ClipDraw = Draw[ClipRecord, ClipShape]


@dataclass(frozen=True, kw_only=True)
class ClipCounts:
    """What encoding did: how many tensors there are, how many had to be made, how long it took."""

    prompts: int
    prompts_encoded: int
    latents: int
    latents_encoded: int
    sounds: int
    sounds_encoded: int
    masks: int
    masks_encoded: int
    encode_s: float


@dataclass(frozen=True, kw_only=True)
class ClipPlaces:
    """Where what belongs to one clip lies, None where it has no such.

    Attributes:
        shape: (c, f, h, w) of its video latents.
        num_sounds: how many audio latents it has.
        video, audio, reference, video_mask, audio_mask: addresses.
    """

    shape: tuple[int, int, int, int]
    num_sounds: int
    video: Address
    audio: Address | None
    reference: Address | None
    video_mask: Address | None
    audio_mask: Address | None


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where each tensor lies: of prompts by text, of clips by key and name."""

    prompts: dict[str, Address]
    clips: dict[tuple[str, str], ClipPlaces]

    def of(self, record: ClipRecord) -> ClipPlaces:
        """Gives the places of a record's clip."""
        return self.clips[record.key, record.name]


@dataclass(frozen=True, kw_only=True)
class EncodedClips:
    """Encoded clips and prompts of a run.

    Attributes:
        collection: the records behind it.
        cache: where the tensors lie.
        places: under which address.
        prompt_widths: of a prompt's embeddings, for video and for sound.
        counts: what encoding did.
        ram: what stays in memory once it was read.
    """

    collection: ClipCollection
    cache: Cache
    places: Places
    prompt_widths: tuple[int, int]
    counts: ClipCounts
    ram: Ram = field(default_factory=lambda: Ram(num_bytes=0))

    @property
    def reference_factors(self) -> tuple[int, int] | None:
        """How many times smaller and slower references are; None where there are none."""
        return None if self.collection.references is None else self.collection.references.factors

    def loader(
        self, *, micro_batch_size: int, num_micro_steps: int, seed: int, pinned: bool = False
    ) -> ResumableLoader:
        """Gives the training batches of micro-steps 0 to num_micro_steps - 1, for a GPU in page-locked memory."""
        collection = self.collection
        plan: Plan[ClipRecord, ClipShape] = Plan(collection, seed=seed, micro_batch_size=micro_batch_size)
        ram = Ram.shared(gib=collection.ram_cache_gib, num_workers=collection.num_workers, pinned=pinned)
        remembering = dataclasses.replace(self, ram=ram)
        batches = PlannedBatches(remembering.batch, plan, num_micro_steps)
        return ResumableLoader(batches, num_workers=collection.num_workers, pinned=pinned)

    def validation_batches(self, micro_batch_size: int) -> list[ClipBatch]:
        """Gives every validation clip once, always in the same batches."""
        planned: list[list[ClipDraw]] = validation_draws(
            self.collection.validation, micro_batch_size=micro_batch_size
        )
        return [self.batch(draws, index=index) for index, draws in enumerate(planned)]

    def latents_shapes(self) -> list[tuple[int, ...]]:
        """Gives the shapes (c, f, h, w) of training batches, the most frequent first."""
        firsts = {record.buckets[0]: self.places.of(record).shape for record in self.collection.train}
        return list(dict.fromkeys(firsts[shape] for shape in self.collection.shapes))

    def prompt_embeds(self, prompt: str) -> PromptEmbeds:
        """Gives the embeddings of a prompt of the set, an extra prompt or the empty prompt."""
        video, audio = self._read(self.places.prompts[prompt]).split(list(self.prompt_widths), dim=-1)
        return PromptEmbeds(video.contiguous(), audio.contiguous())

    def batch(self, draws: Sequence[ClipDraw], *, index: int) -> ClipBatch:
        """Gives the batch of these draws."""
        prompts = [self.prompt_embeds(draw.prompt) for draw in draws]
        places = [self.places.of(draw.record) for draw in draws]
        return ClipBatch(
            video=stacked([self._read(place.video) for place in places]),
            fps=torch.tensor([draw.record.clip.fps for draw in draws], dtype=torch.float32),
            audio=self._all([place.audio for place in places]),
            video_embeds=stacked([prompt.video for prompt in prompts]),
            audio_embeds=stacked([prompt.audio for prompt in prompts]),
            reference=self._all([place.reference for place in places]),
            reference_factors=self.reference_factors or (1, 1),
            video_given=self._masks(
                [place.video_mask for place in places], lambda: torch.zeros(places[0].shape[1:])
            ),
            audio_given=self._masks(
                [place.audio_mask for place in places], lambda: torch.zeros(places[0].num_sounds)
            ),
            weight=torch.tensor([draw.weight for draw in draws], dtype=torch.float32),
            index=index,
            captions=tuple(draw.prompt for draw in draws),
            keys=tuple(draw.record.key for draw in draws),
        )

    def summary(self) -> dict[str, Any]:
        """Gives counts for the log and for `result.json`, and a digest of all clips and what is told of them."""
        parts = self.collection
        return {
            "train": len(parts.train),
            "validation": len(parts.validation),
            "regularization": len(parts.regularization),
            "left_out": parts.left_out,
            "buckets": {str(shape.bucket): count for shape, count in parts.shapes.items()},
            "digest": digest(*((record.key, record.prompts) for record in parts.records)),
            **asdict(self.counts),
        }

    def _all(self, addresses: Sequence[Address | None]) -> Tensor | None:
        """Reads what all clips of a batch have, or none."""
        present = [address for address in addresses if address is not None]
        return stacked([self._read(address) for address in present]) if present else None

    def _masks(self, addresses: Sequence[Address | None], nothing: Callable[[], Tensor]) -> Tensor | None:
        """Reads masks, with `nothing` given in clips that have none; None where no clip has one."""
        if not any(addresses):
            return None
        return torch.stack([nothing() if address is None else self._read(address) for address in addresses])

    def _read(self, address: Address) -> Tensor:
        return self.ram.get(address, lambda place: from_disk(self.cache, place))
