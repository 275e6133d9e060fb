"""4B or 9B: whose adapter a file is. Their layers differ in width, which every layer of an adapter shows.

Base and distilled checkpoints of one size share their adapters: the documented way is to train on the base and to draw
with both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from loralab.adapter.belonging import Belonging

SIZES = {3072: "FLUX.2 Klein 4B", 4096: "FLUX.2 Klein 9B"}
"""By the width of the transformer, heads x head size."""
WIDE = re.compile(
    r".*(?:(?:single_)?transformer_blocks|(?:single|double)_blocks)[._]\d+[._]"
    r"(?:attn[._](?:to_[qkv]|add_[qkv]_proj|to_qkv_mlp_proj)|(?:img|txt)_attn[._]qkv|linear1)"
    r"\.(?:lora_A(?:\.\w+)?|lora_down|lora\.down)\.weight"
)
"""A of layers that read the stream of tokens, in any tool's names: [rank, width]."""


def kind_of(width: int) -> str:
    """Names a transformer by its width."""
    return SIZES.get(width, f"a Klein of width {width}")


def recognised(shapes: Mapping[str, Sequence[int]], *, ours: str) -> Belonging:
    """Says which size a file of another tool belongs to; a file without such layers is left to its other shapes."""
    for key, shape in shapes.items():
        if WIDE.fullmatch(key) and len(shape) == 2:
            return Belonging(
                kinds=frozenset({kind_of(int(shape[1]))}), reason=f"its {key} reads {shape[1]} features"
            )
    return Belonging(kinds=frozenset({ours}), reason="")
