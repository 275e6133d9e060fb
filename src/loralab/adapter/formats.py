"""Adapter files of any common writer taken apart into factors A and B, by the writer's own module names.

    diffusers, PEFT    <module>.lora_A[.<name>].weight, .lora_B[.<name>].weight, .lora_magnitude_vector
    kohya, ComfyUI     <module>.lora_down.weight, .lora_up.weight, .alpha
    some trainers      <module>.lora.down.weight, .lora.up.weight

The scale is alpha / rank from the module's `.alpha`, else what the header declares, else 1.
It is baked into B.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from loralab.errors import UserError

LARGEST_ALPHA = 1e6
NAME = re.compile(r"\^?(?:[\w-]|\\?\.|\\-)+\$?")
"""A module's name as PEFT's patterns hold it: plain or escaped, perhaps anchored."""
PARTS = {
    r"lora_A(\.\w+)?\.weight|lora_down\.weight|lora\.down\.weight": "a",
    r"lora_B(\.\w+)?\.weight|lora_up\.weight|lora\.up\.weight": "b",
    r"alpha": "alpha",
    r"lora_magnitude_vector(\.\w+)?(\.weight)?": "magnitude",
}
OTHER_KINDS = {
    "lokr_": "LoKr (Kronecker factors)",
    "hada_": "LoHa (Hadamard factors)",
    "oft_": "OFT",
    "dora_scale": "DoRA in the LyCORIS form (dora_scale)",
    "lora_mid": "LoCon with a middle factor (lora_mid)",
    "lora_B.bias": "LoRA with a bias",
    ".diff": "full weight differences",
}


@dataclass(frozen=True)
class Factors:
    """One module's update b @ a, its scale baked into b, and DoRA's row lengths if it has them."""

    a: Float[Tensor, " r in"]
    b: Float[Tensor, " out r"]
    magnitude: Float[Tensor, " out"] | None = None


def take_apart(
    tensors: Mapping[str, Tensor], *, path: str | Path, declared: Mapping[str, object]
) -> tuple[dict[str, Factors], list[str]]:
    """Sorts a file's tensors into factors by foreign module name, and lists the keys that are none of them.

    Args:
        tensors: the file's content, in fp32.
        path: the file, for messages.
        declared: LoraConfig entries that come with the file (`lora_alpha`, `alpha_pattern`, `use_rslora`).

    Raises:
        UserError: for another kind of adapter, and for factors that do not belong together.
    """
    if kinds := [kind for mark, kind in OTHER_KINDS.items() if any(mark in key for key in tensors)]:
        raise UserError(
            f"adapter={path} cannot be used: it holds {kinds[0]}. LoRA is read, and DoRA as PEFT writes it."
        )
    modules: dict[str, dict[str, Tensor]] = {}
    strange = []
    try:
        for key, tensor in tensors.items():
            if (place := _place(key)) is None:
                strange.append(key)
            elif modules.setdefault(place[0], {}).setdefault(place[1], tensor) is not tensor:
                raise UserError(f"{key} is a second one for its layer; the file holds more than one adapter.")
        factors = {name: _factors(parts, name=name, declared=declared) for name, parts in modules.items()}
    except (UserError, re.error) as error:
        raise UserError(f"adapter={path} cannot be used: {error}") from error
    return factors, strange


def _place(key: str) -> tuple[str, str] | None:
    """Splits a key into module name and part."""
    for pattern, part in PARTS.items():
        if match := re.fullmatch(rf"(?P<module>.+?)\.(?:{pattern})", key):
            return match["module"], part
    return None


def _factors(parts: Mapping[str, Tensor], *, name: str, declared: Mapping[str, object]) -> Factors:
    if "a" not in parts or "b" not in parts:
        raise UserError(f"{name} has only {', '.join(sorted(parts))}; A (down) and B (up) come in pairs.")
    a, b = parts["a"], parts["b"]
    if a.ndim != 2 or b.ndim != 2 or a.shape[0] != b.shape[1] or not a.numel():
        raise UserError(
            f"in {name}, A is {tuple(a.shape)} and B is {tuple(b.shape)}; "
            "they must be [rank, in] and [out, rank]."
        )
    if "alpha" in parts and parts["alpha"].numel() != 1:
        raise UserError(f"in {name}, alpha is {tuple(parts['alpha'].shape)}, not one number.")
    rank = a.shape[0]
    declared_scale = _declared_scale(declared, name=name, rank=rank)
    scale = parts["alpha"].item() / rank if "alpha" in parts else declared_scale
    magnitude = parts["magnitude"].flatten() if "magnitude" in parts else None
    scaled = b * scale
    if not scaled.isfinite().all():
        raise UserError(f"in {name}, B times its scale of {scale:g} overflows.")
    return Factors(a=a, b=scaled, magnitude=magnitude)


def _ends(name: str, pattern: str) -> bool:
    """Says whether a key of PEFT's `alpha_pattern` means this module.

    PEFT takes keys for regular expressions, and everybody writes names. A downloaded expression would be run: some
    take forever.

    Raises:
        UserError: for a key that is no name.
    """
    if not NAME.fullmatch(pattern):
        raise UserError(
            f"its alpha_pattern has {pattern!r}, which is no layer's name; expressions are not read."
        )
    ending = pattern.removeprefix("^").removesuffix("$").replace("\\", "")
    return name == ending or name.endswith(f".{ending}")


def _declared_scale(declared: Mapping[str, object], *, name: str, rank: int) -> float:
    """Gives PEFT's scale: alpha is the first of `alpha_pattern` that ends the name, else `lora_alpha`."""
    patterns = declared.get("alpha_pattern")
    alpha: object = declared.get("lora_alpha", rank)
    if isinstance(patterns, Mapping):
        alpha = next((value for key, value in patterns.items() if _ends(name, key)), alpha)
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not abs(alpha) < LARGEST_ALPHA:
        raise UserError(
            f"its header declares lora_alpha={alpha!r}, which is not a number that anything uses."
        )
    return alpha / math.sqrt(rank) if declared.get("use_rslora") else alpha / rank
