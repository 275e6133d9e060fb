"""From the module names of other tools to ours.

A name is looked up as it is, then without the prefixes that tools put before it: among our layers, then in
the family's tables of what the original checkpoint calls them. Tools in kohya's style write `_` for
every `.`, so that all names are compared in that form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

PREFIXES = (
    "base_model.model.",
    "model.diffusion_model.",
    "diffusion_model.",
    "transformer.",
    "lora_unet_",
    "lora_transformer_",
    "lycoris_",
)


@runtime_checkable
class LayerNames(Protocol):
    """How other tools name a family's layers (the tables of a Denoiser's `foreign_names`)."""

    @property
    def renamed(self) -> Mapping[str, str]:
        """Regex on the whole dotted foreign name -> ours."""

    @property
    def guard(self) -> Callable[[str, Mapping[str, str], Mapping[str, Sequence[int]]], None]:
        """Refuses a file by its path, header and tensors' shapes, whose layers would fit."""

    @property
    def fused(self) -> Mapping[str, tuple[str, ...]]:
        """Regex on the whole dotted foreign name -> ours, in the order in which the fused output is cut."""


class Names:
    """Answers which of our layers a foreign module name means."""

    def __init__(self, ours: Iterable[str], foreign: LayerNames) -> None:
        """`ours` are the transformer's linear layers; `foreign` is the family's table."""
        self._ours = {_flat(name): name for name in ours}
        tables = {**{pattern: (name,) for pattern, name in foreign.renamed.items()}, **foreign.fused}
        self._tables = [(re.compile(pattern.replace(r"\.", "_")), names) for pattern, names in tables.items()]

    def resolve(self, name: str) -> tuple[str, ...]:
        """Gives our names: none if unknown; several, in the order of its output, if the layer is fused."""
        for bare in _without_prefixes(name):
            flat = _flat(bare)
            if flat in self._ours:
                return (self._ours[flat],)
            for pattern, templates in self._tables:
                if match := pattern.fullmatch(flat):
                    named = [_flat(match.expand(template)) for template in templates]
                    if all(key in self._ours for key in named):
                        return tuple(self._ours[key] for key in named)
        return ()


def _without_prefixes(name: str) -> Iterator[str]:
    """The name, then what remains as prefixes are taken off one after the other."""
    yield name
    for prefix in PREFIXES:
        if name.startswith(prefix):
            yield from _without_prefixes(name.removeprefix(prefix))


def _flat(name: str) -> str:
    return name.replace(".", "_")
