"""Compiling the repeated blocks: once for all blocks of a kind, kept over runs, with a way back to eager.

The cache of compiled code lives below XDG_CACHE_HOME (or wherever TORCHINDUCTOR_CACHE_DIR says), so that a second run
starts in seconds. A block that cannot be compiled runs as it is, and the log says why.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

import torch

from loralab.files import cache_folder

log = logging.getLogger(__name__)
VARIANTS = 64
"""Kinds of block, with and without gradients, adapters and dropout, for a fixed and for any size: far fewer."""


def use_cache_folder() -> None:
    """Names a lasting folder for compiled code, unless the environment has named one."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder("compiled")))


def num_graphs() -> int:
    """Counts what has been compiled in this process."""
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])


class Compiled:
    """Calls a function compiled, and uncompiled for good once compiling has failed."""

    def __init__(self, function: Callable[..., Any]) -> None:
        """Compiles at the first call, anew for the first other size, then once for any size."""
        use_cache_folder()
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, VARIANTS)
        self._plain = function
        self._compiled: Callable[..., Any] | None = torch.compile(function, fullgraph=True)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Gives the function's result."""
        if self._compiled is None:
            return self._plain(*args, **kwargs)
        try:
            return self._compiled(*args, **kwargs)
        except (torch._dynamo.exc.TorchDynamoException, torch._inductor.exc.InductorError) as error:
            log.warning("compiling failed, training goes on without it (slower): %s", _first_line(error))
            self._compiled = None
        return self._plain(*args, **kwargs)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
