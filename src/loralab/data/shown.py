"""What the plan of micro-batches needs to know of pictures and clips alike."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar, runtime_checkable

from loralab.data.collect import Showing


@runtime_checkable
class Keyed(Protocol):
    """What is known by its content."""

    @property
    def key(self) -> str:
        """Digest of the content, hex."""
        ...


@runtime_checkable
class Shown(Keyed, Protocol):
    """A picture's record, or a clip's; see `Record`."""

    @property
    def name(self) -> str:
        """What the user calls it."""
        ...

    @property
    def repeats(self) -> int:
        """How often it is shown per epoch."""
        ...

    @property
    def weight(self) -> float:
        """Factor of its loss."""
        ...

    @property
    def prompts(self) -> tuple[str, ...]:
        """What the text encoder reads, one of them per showing."""
        ...

    @property
    def buckets(self) -> tuple[Any, ...]:
        """The sizes in which it is shown; those of equal size share a micro-batch."""
        ...


KeyedT = TypeVar("KeyedT", bound=Keyed)
RecordT = TypeVar("RecordT", bound=Shown)
RecordT_co = TypeVar("RecordT_co", bound=Shown, covariant=True)
BucketT = TypeVar("BucketT", bound=tuple[int, ...])


@runtime_checkable
class Shows(Protocol[RecordT_co]):
    """A collection of pictures, or of clips; see `Collection`."""

    @property
    def train(self) -> tuple[RecordT_co, ...]:
        """What is learned."""
        ...

    @property
    def regularization(self) -> tuple[RecordT_co, ...]:
        """What should stay as it is."""
        ...

    @property
    def showing(self) -> Showing:
        """How they are shown."""
        ...
