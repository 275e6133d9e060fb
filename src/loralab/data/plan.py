"""Which pictures micro-step k shows: a pure function of seed, micro-batch size and records, with random access.

Bucket B holds n showings per epoch (a record counts `repeats` times). Its own order is endless: element i is
element i mod n of its permutation number i div n, and its micro-batches are runs of m consecutive elements.
So nothing is dropped: after e epochs the bucket has given floor(e·n / m) micro-batches, and what does not
fill one is carried into the next epoch. The micro-batches that fall into one epoch are shuffled across
buckets.

Orders and decisions come from hashes of names, no generator: they do not depend on the machine, on other
trials, on a resume, or on the order in which pictures were found.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

from loralab.data.chance import chance
from loralab.data.collect import Collection
from loralab.data.records import Bucket, Record
from loralab.data.shown import BucketT, RecordT, Shows


@dataclass(frozen=True, kw_only=True)
class Draw(Generic[RecordT, BucketT]):
    """One showing of a picture or clip.

    Attributes:
        record: the picture.
        bucket: its size.
        prompt: what the text encoder reads.
        flipped: whether it is mirrored.
        weight: factor of its loss.
    """

    record: RecordT
    bucket: BucketT
    prompt: str
    flipped: bool = False
    weight: float = 1.0


class Order(Generic[RecordT, BucketT]):
    """Endless order of one set of records."""

    def __init__(self, records: Sequence[RecordT], *, seed: int, stream: str, micro_batch_size: int) -> None:
        self._seed, self._stream, self._size = seed, stream, micro_batch_size
        self._members: dict[BucketT, list[tuple[RecordT, int]]] = {}
        for record in records:
            for bucket in record.buckets:
                self._members.setdefault(bucket, []).extend((record, copy) for copy in range(record.repeats))
        self._epochs: dict[int, list[tuple[BucketT, int]]] = {}
        self._permutations: dict[tuple[BucketT, int], list[tuple[RecordT, int]]] = {}

    def micro_batch(self, number: int) -> list[tuple[RecordT, BucketT, str]]:
        """Gives the elements of a micro-batch: record, bucket, and a name that no other showing has."""
        epoch = self._epoch_of(number)
        bucket, place = self._epoch(epoch)[number - self._before(epoch)]
        first = place * self._size
        return [self._element(bucket, first + offset) for offset in range(self._size)]

    def _before(self, epoch: int) -> int:
        """How many micro-batches were given before an epoch."""
        return sum(epoch * len(members) // self._size for members in self._members.values())

    def _epoch_of(self, number: int) -> int:
        epoch = (
            number * self._size // sum(map(len, self._members.values()))
        )  # never too late: floors only delay
        while self._before(epoch + 1) <= number:
            epoch += 1
        return epoch

    def _epoch(self, epoch: int) -> list[tuple[BucketT, int]]:
        if epoch not in self._epochs:
            given = [
                (bucket, place)
                for bucket, members in self._members.items()
                for place in range(
                    epoch * len(members) // self._size, (epoch + 1) * len(members) // self._size
                )
            ]
            self._epochs = {
                epoch: sorted(given, key=lambda item: (self._chance("batches", epoch, *item), item))
            }
        return self._epochs[epoch]

    def _element(self, bucket: BucketT, index: int) -> tuple[RecordT, BucketT, str]:
        members = self._members[bucket]
        epoch, position = divmod(index, len(members))
        record, copy = self._permutation(bucket, epoch)[position]
        return record, bucket, f"{record.key}/{bucket}/{copy}/{epoch}"

    def _permutation(self, bucket: BucketT, epoch: int) -> list[tuple[RecordT, int]]:
        if (bucket, epoch) not in self._permutations:
            if len(self._permutations) > 4 * len(self._members) + self._size:
                self._permutations.clear()
            order = [
                (self._chance("order", bucket, epoch, record.key, copy), record.name, copy, record)
                for record, copy in self._members[bucket]
            ]
            order.sort(key=lambda item: item[:3])
            self._permutations[bucket, epoch] = [(record, copy) for _, _, copy, record in order]
        return self._permutations[bucket, epoch]

    def _chance(self, *names: object) -> float:
        return chance(self._seed, self._stream, *names)


class Plan(Generic[RecordT, BucketT]):
    """Endless sequence of micro-batches: training pictures, with regularisation pictures evenly in between.

    Micro-step k shows regularisation pictures where floor((k+1)·ratio) > floor(k·ratio).
    """

    def __init__(self, collection: Shows[RecordT], *, seed: int, micro_batch_size: int) -> None:
        self._seed, self._showing = seed, collection.showing
        kwargs: dict[str, int] = {"seed": seed, "micro_batch_size": micro_batch_size}
        self._train: Order[RecordT, BucketT] = Order(collection.train, stream="train", **kwargs)
        self._regularization: Order[RecordT, BucketT] = Order(
            collection.regularization, stream="regularization", **kwargs
        )
        self._ratio = collection.showing.regularization_ratio if collection.regularization else 0.0

    def draws(self, index: int) -> list[Draw[RecordT, BucketT]]:
        """Gives what micro-step `index` shows."""
        before, after = math.floor(index * self._ratio), math.floor((index + 1) * self._ratio)
        if after > before:
            weight = self._showing.regularization_weight
            return [
                self._draw(*element, weight=weight) for element in self._regularization.micro_batch(before)
            ]
        return [self._draw(*element, weight=1.0) for element in self._train.micro_batch(index - before)]

    def _draw(self, record: RecordT, bucket: BucketT, name: str, *, weight: float) -> Draw[RecordT, BucketT]:
        variant = int(chance(self._seed, "variant", name) * len(record.prompts))
        dropped = chance(self._seed, "dropout", name) < self._showing.caption_dropout
        return Draw(
            record=record,
            bucket=bucket,
            prompt="" if dropped else record.prompts[variant],
            flipped=self._showing.flip and chance(self._seed, "flip", name) < 0.5,
            weight=weight * record.weight,
        )


def validation_draws(
    records: Sequence[RecordT], *, micro_batch_size: int
) -> list[list[Draw[RecordT, BucketT]]]:
    """Gives micro-batches that show each record once per bucket, first prompt, not mirrored, by content."""
    ordered = sorted(records, key=lambda record: (record.key, record.name))
    by_bucket: dict[BucketT, list[Draw[RecordT, BucketT]]] = {}
    for record in ordered:
        for bucket in record.buckets:
            draw = Draw(record=record, bucket=bucket, prompt=record.prompts[0], weight=record.weight)
            by_bucket.setdefault(bucket, []).append(draw)
    return [
        draws[start : start + micro_batch_size]
        for _, draws in sorted(by_bucket.items())
        for start in range(0, len(draws), micro_batch_size)
    ]


def encodings(collection: Collection) -> tuple[list[str], list[tuple[Record, Bucket, bool]]]:
    """Gives all that a plan can ever ask for: (prompts, pictures with bucket and mirroring), each once."""
    trained = (*collection.train, *collection.regularization)
    prompts = [prompt for record in trained for prompt in record.prompts]
    prompts += [record.prompts[0] for record in collection.validation]
    sides = (False, True) if collection.showing.flip else (False,)
    pictures = [(record, bucket, side) for record in trained for bucket in record.buckets for side in sides]
    pictures += [(record, bucket, False) for record in collection.validation for bucket in record.buckets]
    unique = {(record.key, bucket, side): (record, bucket, side) for record, bucket, side in pictures}
    return list(dict.fromkeys(prompts)), list(unique.values())
