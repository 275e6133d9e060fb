"""Pictures that a frozen network draws once, kept on disk: read again by every step, and by a run that goes on.

One file for each picture, `<root>/<fingerprint>/<number>.safetensors`, which appears whole. The fingerprint digests
everything that the pictures depend on, so that a bank of other weights, prompts or sigmas is another folder.
Pictures are drawn in chunks that do not depend on which files are there: an interrupted bank is completed to the same
bytes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from loralab.data.cache import digest
from loralab.data.chance import shuffled
from loralab.data.progress import progress_bar
from loralab.files import atomic_write
from loralab.flow.noise import generator

log = logging.getLogger(__name__)
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Entry:
    """A picture of a bank: what it shows, its latents' shape, and the number that its noise comes from."""

    prompt: str
    shape: Shape
    number: int


Draw = Callable[[Sequence[Entry]], Tensor]
"""Gives one tensor for each entry, stacked; all are of one shape."""


@dataclass(frozen=True)
class Bank:
    """Entries and where their tensors lie.

    Attributes:
        folder: of this bank.
        entries: in the order of their numbers.
    """

    folder: Path
    entries: tuple[Entry, ...]

    def fill(self, draw: Draw, *, at_once: int, label: str) -> None:
        """Draws what is missing."""
        chunks = [chunk for chunk in self._chunks(at_once) if not all(self._path(e).is_file() for e in chunk)]
        with progress_bar(label, total=sum(map(len, chunks))) as bar:
            for chunk in chunks:
                for entry, tensor in zip(chunk, draw(chunk), strict=True):
                    self._write(entry, tensor)
                bar.update(len(chunk))

    def drawn(self, count: int, *, seed: int, stream: str, index: int) -> list[Entry]:
        """Gives so many entries of one shape, by chance: any entry is as likely as any other."""
        source = generator(seed=seed, stream=stream, index=index)
        first = self.entries[int(torch.randint(len(self.entries), (), generator=source))]
        alike = [entry for entry in self.entries if entry.shape == first.shape]
        others = torch.randint(len(alike), (count - 1,), generator=source).tolist()
        return [first, *(alike[place] for place in others)]

    def read(self, entries: Iterable[Entry]) -> Tensor:
        """Gives the tensors of entries of one shape, stacked."""
        from safetensors.torch import load_file

        return torch.stack([load_file(self._path(entry))["value"] for entry in entries])

    def read_states(self, entries: Sequence[Entry], *, steps: Sequence[int]) -> Tensor:
        """Gives two neighbouring states of each entry, [b, 2, c, h, w], at its step; the rest stays on the disk."""
        from safetensors import safe_open

        pairs = []
        for entry, step in zip(entries, steps, strict=True):
            with safe_open(self._path(entry), framework="pt") as file:
                pairs.append(file.get_slice("value")[step : step + 2])
        return torch.stack(pairs)

    def _path(self, entry: Entry) -> Path:
        return self.folder / f"{entry.number:06d}.safetensors"

    def _write(self, entry: Entry, tensor: Tensor) -> None:
        from safetensors.torch import save

        about = {"prompt": entry.prompt, "shape": json.dumps(entry.shape)}
        atomic_write(self._path(entry), save({"value": tensor.detach().float().cpu().contiguous()}, about))

    def _chunks(self, at_once: int) -> list[list[Entry]]:
        chunks = []
        for shape in dict.fromkeys(entry.shape for entry in self.entries):
            alike = [entry for entry in self.entries if entry.shape == shape]
            chunks += [alike[start : start + at_once] for start in range(0, len(alike), at_once)]
        return chunks


def bank_of(
    items: Sequence[tuple[str, Shape]], *, size: int, root: Path, fingerprint: Sequence[object]
) -> Bank:
    """Gives a bank of `size` entries that show the items in turn, in an order of chance, each with noise of its own.

    Args:
        items: prompts with the shapes in which they are shown.
        size: number of entries.
        root: where banks of this kind lie.
        fingerprint: what the tensors depend on besides prompt, shape and number.
    """
    order = shuffled(len(items), "bank")  # a bank smaller than the set is to show all of it
    entries = tuple(Entry(*items[order[number % len(items)]], number) for number in range(size))
    named = digest(*fingerprint, *((entry.prompt, entry.shape, entry.number) for entry in entries))
    return Bank(root / named[:24], entries)
