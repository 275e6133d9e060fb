"""A low-rank adapter on chosen linear layers of a frozen transformer.

    W' = W + scale * B @ A          A [r, in], B [out, r]; B @ A = 0 at the start

    scale = alpha / rank            LoRA (Hu et al. 2021, arXiv:2106.09685, eq. 3)
    scale = alpha / sqrt(rank)      rsLoRA (Kalajdzievski 2023, arXiv:2312.03732)

    W' = m * (W + scale * B @ A) / |W + scale * B @ A|      DoRA, m [out] and norms of rows
                                                            (Liu et al. 2024, arXiv:2402.09353, eq. 5)

The adapter is held in fp32 whatever the base is held in: updates of a small learning rate are lost in bf16.
"""

from __future__ import annotations

import contextlib
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from loralab.adapter.fused import fused_linear
from loralab.adapter.layers import TRAINED, adapter_layers, linear_layers, switches_restored, tuner_layers
from loralab.errors import UserError, joined
from loralab.linears import weights_unread

INITS = {"default": True, "gaussian": "gaussian", "orthogonal": "orthogonal"}
"""Initialisations under which the adapter starts as no change: what we call them -> what PEFT calls them."""


@dataclass(frozen=True)
class LoraSpec:
    """What a new adapter looks like.

    Attributes:
        rank: inner width r of B @ A.
        alpha: numerator of the scale.
        targets: `attention`, `attention_mlp`, `all`, or a regular expression on full module names.
        dropout: probability of dropping an input of A, in training only.
        use_rslora: divide alpha by sqrt(rank) instead of rank.
        use_dora: learn the length of every row of the weight as well.
        init: `default` (A Kaiming-uniform), `gaussian` (A normal, deviation 1/rank) or `orthogonal` (A and B
            non-zero, B @ A = 0).
    """

    rank: int
    alpha: float
    targets: str
    dropout: float = 0.0
    use_rslora: bool = False
    use_dora: bool = False
    init: str = "default"

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise UserError("adapter cannot be built:\n" + joined(problems))

    def _problems(self) -> Iterator[str]:
        if self.rank < 1:
            yield f"adapter.rank={self.rank} must be at least 1."
        if not (math.isfinite(self.alpha) and self.alpha > 0):
            yield f"adapter.alpha={self.alpha} must be a positive number; adapter.rank is a good one."
        if not 0 <= self.dropout < 1:
            yield f"adapter.dropout={self.dropout} is outside [0, 1): it is a probability."
        if not self.targets:
            yield "adapter.targets is empty; use attention, attention_mlp, all or a regular expression."
        if self.init not in INITS:
            yield (
                f"adapter.init={self.init} is not one of {', '.join(INITS)}. (pissa, olora and the like "
                "rewrite the base: an exported file would fit no published checkpoint.)"
            )
        if self.init == "orthogonal" and self.rank % 2:
            yield f"adapter.init=orthogonal needs an even adapter.rank, not {self.rank}."


def inject(transformer: nn.Module, spec: LoraSpec, *, pattern: str) -> tuple[str, ...]:
    """Freezes the transformer and adds a trainable fp32 adapter; says which layers it adapts.

    Args:
        transformer: a diffusers transformer; may carry other adapters, which are frozen and switched off.
        spec: what the adapter looks like.
        pattern: regular expression that a linear layer's whole name must match; what is not a linear layer is
            passed over.

    Raises:
        UserError: if no linear layer matches.
    """
    names = _matching(transformer, pattern, targets=spec.targets)
    transformer.requires_grad_(False)
    add_lora(transformer, spec, ranks=dict.fromkeys(names, spec.rank), name=TRAINED)
    return tuple(adapter_layers(transformer))


def add_lora(transformer: nn.Module, spec: LoraSpec, *, ranks: Mapping[str, int], name: str) -> None:
    """Adds an adapter called `name` in fp32 on exactly the layers of `ranks`, each of its rank."""
    from peft import LoraConfig

    rank_pattern = {f"^{re.escape(key)}": rank for key, rank in ranks.items() if rank != spec.rank}
    config = LoraConfig(
        r=spec.rank,
        lora_alpha=cast(int, spec.alpha),  # PEFT divides it only; any number will do
        target_modules="|".join(re.escape(key) for key in ranks),
        lora_dropout=spec.dropout,
        use_rslora=spec.use_rslora,
        use_dora=spec.use_dora,
        init_lora_weights=cast(Any, INITS[spec.init]),
        rank_pattern=rank_pattern,
        alpha_pattern={key: spec.alpha * rank / spec.rank for key, rank in rank_pattern.items()},
    )
    config._register_custom_module({nn.Linear: fused_linear()})
    unread = (
        contextlib.nullcontext() if spec.use_dora else weights_unread()
    )  # DoRA starts from the rows' lengths
    with unread, warnings.catch_warnings():
        # A second adapter is meant.
        warnings.filterwarnings("ignore", message="Already found a `peft_config`")
        cast(Any, transformer).add_adapter(config, adapter_name=name)
    for layer in adapter_layers(transformer, name=name).values():
        # PEFT leaves a new dropout on, even where the transformer evaluates.
        layer.train(transformer.training)
    device = next(
        transformer.parameters()
    ).device  # of what is not in a block: blocks may wait in main memory
    for parameter in adapter_parameters(transformer, name=name):
        parameter.data = parameter.data.to(device, torch.float32)


def adapter_parameters(transformer: nn.Module, *, name: str = TRAINED) -> list[nn.Parameter]:
    """Gives the adapter's own tensors, in the transformer's order: what an optimizer trains."""
    return list(named_tensors(transformer, name=name).values())


def named_tensors(transformer: nn.Module, *, name: str = TRAINED) -> dict[str, nn.Parameter]:
    """Gives the adapter's tensors under the keys PEFT gives them in files, `<module>.lora_A.weight`."""
    tensors: dict[str, nn.Parameter] = {}
    for module, layer in adapter_layers(transformer, name=name).items():
        tensors[f"{module}.lora_A.weight"] = layer.lora_A[name].weight
        tensors[f"{module}.lora_B.weight"] = layer.lora_B[name].weight
        if name in layer.lora_magnitude_vector:
            tensors[f"{module}.lora_magnitude_vector"] = layer.lora_magnitude_vector[name].weight
    return tensors


@contextlib.contextmanager
def disabled(transformer: nn.Module) -> Iterator[None]:
    """Makes the transformer the base, bit for bit, inside the block; what was active comes back after."""
    with switches_restored(transformer):
        for layer in tuner_layers(transformer).values():
            layer.enable_adapters(False)
        yield


def _matching(transformer: nn.Module, pattern: str, *, targets: str) -> list[str]:
    """Names the linear layers whose whole name matches the pattern."""
    linears = list(linear_layers(transformer))
    names = [name for name in linears if re.fullmatch(pattern, name)]
    if not names:
        kinds = sorted({re.sub(r"\.\d+\.", ".N.", name) for name in linears})
        raise UserError(
            f"adapter.targets={targets} adapts nothing: no linear layer of {type(transformer).__name__} has "
            f"a name that matches {pattern!r} from end to end. Linear layers of it: {', '.join(kinds[:8])}. "
            "Use attention, attention_mlp, all or a regular expression on such names."
        )
    return names
