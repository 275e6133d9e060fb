"""One adapter file or several at once, on a transformer that is otherwise the base."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import nn

from loralab.adapter import attached, disabled
from loralab.adapter.layers import tuner_layers
from loralab.adapter.names import LayerNames


@contextlib.contextmanager
def mixed(transformer: nn.Module, paths: Sequence[Path], *, foreign_names: LayerNames) -> Iterator[None]:
    """Adds up the adapters of files inside the block, each at its full strength; without any, it is the base.

    Raises:
        UserError: if a file does not fit.
    """
    names = [f"loaded_{number}" for number in range(len(paths))]
    with contextlib.ExitStack() as until_done:
        if not paths:
            until_done.enter_context(disabled(transformer))
        for name, path in zip(names, paths, strict=True):
            until_done.enter_context(attached(transformer, path, foreign_names=foreign_names, name=name))
        if len(names) > 1:
            for layer in tuner_layers(transformer).values():
                layer.set_adapter(names)
        yield
