"""What is said of wrong settings of data sets, whether of pictures or of clips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from loralab.data.captions import PLACEHOLDER
from loralab.errors import UserError, joined


def refuse(found: Iterator[str]) -> None:
    """Raises one error that lists all problems, if there are any."""
    if listed := list(found):
        raise UserError(f"The data set cannot be used:\n{joined(listed)}")


def outside(*settings: tuple[str, float, float, float]) -> Iterator[str]:
    """Yields which settings (key, value, least, limit) are below their least or not below their limit."""
    for name, value, least, limit in settings:
        if not least <= value < limit:
            yield f"dataset.{name}={value} is not in [{least:g}, {limit:g})"


def below(*settings: tuple[str, float, float]) -> Iterator[str]:
    """Yields which settings (key, value, least) are below their least."""
    for name, value, least in settings:
        if not value >= least:
            yield f"dataset.{name}={value} is below {least:g}"


def unmet_trigger(trigger: str | None, policy: str, captions: Sequence[str]) -> Iterator[str]:
    """Yields what a trigger policy asks of captions and none of them has."""
    if policy == "replace" and not any(PLACEHOLDER in caption for caption in captions):
        yield f"dataset.trigger_policy=replace has no effect: no caption says {PLACEHOLDER}"
    if policy == "written" and not any(str(trigger) in caption for caption in captions):
        yield f"dataset.trigger={trigger} is in no caption; dataset.trigger_policy=written says it is"
