"""What an adapter file belongs to, and whether that is the base it is to be used on.

Our own files name family, model and the digest of the base's weights. Files of other tools are told by their header and
by the shapes of their tensors, where those tell; each family has a table for that. An adapter of another base often has
layers of the very same shapes: it would load without an error and spoil what is drawn. So what is known to be of
another base is refused, and so is what nobody knows; `model.assume_base=<model>` says that the user knows better.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from loralab.adapter.metadata import AdapterMetadata
from loralab.errors import UserError

HEADER_KEYS = (
    "modelspec.architecture",
    "ss_base_model_version",
    "ss_sd_model_name",
    "base_model",
    "modelspec.title",
)
"""Where other tools say what a file was trained on: kohya's and musubi-tuner's, ai-toolkit's, SAI's model spec."""
ASSISTANT = "assistant"
"""The objective of an adapter that makes a few-step checkpoint trainable and spoils what it draws."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Belonging:
    """What a file of another tool can belong to.

    Attributes:
        kinds: of the family's bases, those that nothing in the file speaks against; several where nobody knows.
        reason: what spoke, for messages.
    """

    kinds: frozenset[str]
    reason: str


@dataclass(frozen=True, kw_only=True)
class Base:
    """The checkpoint that an adapter is to be used on.

    Attributes:
        family, model, checkpoint: as its `ModelIdentity`.
        digest: gives the digest of its weights; asked only where it matters, since it reads them all.
        kind: what its family calls it, as in `Belonging.kinds`.
        takes: models whose adapters are meant for it as well, as a distilled checkpoint takes those of its base.
        assumed: what the user says adapters belong to (`model.assume_base`), or None.
    """

    family: str
    model: str
    checkpoint: str
    digest: Callable[[], str]
    kind: str
    takes: frozenset[str] = frozenset()
    assumed: str | None = None

    def require_own(self, path: str, metadata: AdapterMetadata) -> None:
        """Refuses a file of ours that was trained on another base.

        Raises:
            UserError: saying on which, and what is otherwise.
        """
        if (reason := self._foreign_to(metadata)) is not None:
            self._refuse(path, f"was trained on {metadata.checkpoint} (model={metadata.model}), {reason}")

    def require_recognised(self, path: str, found: Belonging) -> None:
        """Refuses a file of another tool that belongs to another base, and one of which nobody knows.

        Raises:
            UserError: saying why.
        """
        if found.kinds == {self.kind}:
            return
        kinds = " or ".join(sorted(found.kinds))
        if self.kind in found.kinds:
            self._refuse(
                path, f"does not say what it was trained on, and {found.reason}: it can be of {kinds}"
            )
        else:
            self._refuse(path, f"belongs to {kinds}: {found.reason}. This is {self.kind}")

    def _foreign_to(self, metadata: AdapterMetadata) -> str | None:
        """Says what is otherwise than in the base of a file of ours; None where it is the same."""
        if metadata.family != self.family:
            return f"which is of the family {metadata.family}, and this is {self.family}"
        if metadata.model in self.takes or metadata.base_digest == self.digest():
            return None
        if metadata.model == self.model:
            return f"whose weights are others than those of {self.checkpoint}"
        return f"and this is {self.checkpoint} (model={self.model}), whose weights are others"

    def _refuse(self, path: str, reason: str) -> None:
        """Refuses, unless the user has said that the file belongs here."""
        if self.assumed is None:
            raise UserError(
                f"adapter={path} {reason}. It would load without an error and spoil what is drawn. Use it with the "
                f"model that it was trained on; if you know better, set model.assume_base={self.model}."
            )
        if self.assumed != self.model:
            raise UserError(
                f"model.assume_base={self.assumed}: this is model={self.model}. Set model.assume_base={self.model} for "
                "an adapter that belongs here in spite of what it says, or null."
            )
        log.warning("model.assume_base=%s: adapter=%s %s", self.assumed, path, reason)


def said_of_base(header: Mapping[str, str]) -> str:
    """Gives all that a header of another tool says of its base, in lower case."""
    return " ".join(header[key] for key in HEADER_KEYS if header.get(key)).lower()
