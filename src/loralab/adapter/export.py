"""One portable file from a trained adapter: diffusers gives the same velocity, ComfyUI knows its keys.

    <prefix><module>.lora_A.weight = A            <prefix><module>.lora_B.weight = scale * B

The scale is baked into B because readers disagree about where alpha stands: diffusers takes it from the
header and refuses `.alpha` keys for some families, ComfyUI reads `.alpha` keys and ignores the header. The
header declares alpha = rank, so that both find a scale of 1. rsLoRA's scale is baked in the same way.

DoRA is no low-rank update and cannot be baked: its row lengths are written as PEFT writes them, which
diffusers reads.

The same adapter and metadata give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor, nn

from loralab.adapter.layers import TRAINED, adapter_layers
from loralab.adapter.metadata import PREFIX, AdapterMetadata
from loralab.adapter.norms import all_finite, require_change, update_norms
from loralab.adapter.state import adapter_state, with_state
from loralab.errors import UserError
from loralab.files import atomic_write

DORA_NOTE = (
    "DoRA in PEFT's form (lora_magnitude_vector): diffusers and loralab load it exactly; tools that look for "
    "dora_scale instead, ComfyUI among them, would apply only its low-rank part."
)


def export_adapter(
    transformer: nn.Module,
    path: str | Path,
    *,
    prefix: str,
    metadata: AdapterMetadata,
    state: Mapping[str, Tensor] | None = None,
    rename: Callable[[str], str] = str,
    header: Mapping[str, str] | None = None,
) -> Path:
    """Writes the adapter as one safetensors file, atomically, and returns its path.

    Args:
        transformer: carries the trained adapter.
        path: file to write, ending in .safetensors.
        prefix: what other tools expect before the module names (a Denoiser's `export_prefix`).
        metadata: what the file shall say about itself.
        state: tensors to write instead of the adapter's own, for example an average.
        rename: gives other tools' key for ours, without the prefix, where they call layers something else.
        header: entries for other tools, beside our own.

    Raises:
        UserError: if the adapter holds NaN or infinity, or changed nothing; no file is written then.
    """
    if state is not None:
        with with_state(transformer, state):
            return export_adapter(
                transformer, path, prefix=prefix, metadata=metadata, rename=rename, header=header
            )
    if not all_finite(transformer):
        raise UserError(
            f"{path} is not written: the adapter holds NaN or infinity. Use the last good snapshot."
        )
    require_change(update_norms(transformer))
    tensors = {prefix + rename(key): tensor for key, tensor in baked_state(transformer).items()}
    return atomic_write(path, _serialised(tensors, dict(header or {}) | _header(transformer, metadata)))


def baked_state(transformer: nn.Module) -> dict[str, Tensor]:
    """Gives the adapter's state with the scale multiplied into every B: what is left to apply is 1."""
    state = adapter_state(transformer)
    for module, layer in adapter_layers(transformer).items():
        state[f"{module}.lora_B.weight"] *= layer.scaling[TRAINED]
    return state


def _header(transformer: nn.Module, metadata: AdapterMetadata) -> dict[str, str]:
    layers = adapter_layers(transformer)
    use_dora = any(TRAINED in layer.lora_magnitude_vector for layer in layers.values())
    rank = next(iter(layers.values())).r[TRAINED]
    config = {"r": rank, "lora_alpha": rank, "target_modules": sorted(layers), "use_dora": use_dora}
    declared = json.dumps({f"transformer.{key}": value for key, value in config.items()}, sort_keys=True)
    note = {PREFIX + "note": DORA_NOTE} if use_dora else {}
    return {"format": "pt", "lora_adapter_metadata": declared} | metadata.to_header() | note


def _serialised(tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> bytes:
    """Gives the file's bytes with the header's keys in order; safetensors leaves their order to chance.

    Such a file is the header's length (8 bytes, little endian), the header as JSON padded with spaces to a
    multiple of 8, and the tensors, at offsets counted from the header's end.
    """
    from safetensors.torch import save

    return _reheaded(save({key: tensor.contiguous() for key, tensor in tensors.items()}, dict(header)), {})


def annotated(written: bytes, entries: Mapping[str, str]) -> bytes:
    """Gives an adapter file's bytes with more `loralab.*` entries in its header, which readers pass over."""
    return _reheaded(written, {PREFIX + key: value for key, value in entries.items()})


def _reheaded(written: bytes, entries: Mapping[str, str]) -> bytes:
    end = 8 + int.from_bytes(written[:8], "little")
    header = json.loads(written[8:end])
    header["__metadata__"] = header.get("__metadata__", {}) | dict(entries)
    ordered = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    ordered += b" " * (-len(ordered) % 8)
    return len(ordered).to_bytes(8, "little") + ordered + written[end:]
