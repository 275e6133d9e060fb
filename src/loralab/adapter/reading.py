"""Adapter files opened with care: safetensors only, and what is wrong with any other file said clearly."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from loralab.errors import UserError

MODEST_HEADER = 16 * 2**20
"""Bytes. The header of an adapter on all layers of a 9B model is below one of them."""
MOST_TENSORS = 100_000
LARGEST_FP32 = 32 * 2**30
"""Bytes that the tensors may take in fp32: many times the largest adapter known."""
PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")


def read_header(path: str | Path) -> dict[str, str]:
    """Reads the header's text entries and nothing else.

    Raises:
        UserError: if this is no complete safetensors file.
    """
    return _read(path, tensors=False)[0]


def read_shapes(path: str | Path) -> tuple[dict[str, str], dict[str, tuple[int, ...]]]:
    """Reads the header's text entries and the shapes of all tensors, and no tensor.

    Raises:
        UserError: if this is no complete safetensors file.
    """
    from safetensors import safe_open

    header = read_header(path)
    with safe_open(Path(path), framework="pt") as file:
        return header, {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118


def read_adapter_file(path: str | Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Reads the header's text entries and all tensors, in fp32 on the CPU.

    Raises:
        UserError: if this is no complete safetensors file, or a tensor is not a finite floating-point one.
    """
    header, tensors = _read(path, tensors=True)
    for key, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise UserError(f"adapter={path} cannot be used: {key} is {tensor.dtype}, not floating point.")
        tensors[key] = tensor.to(torch.float32)
        if not tensors[key].isfinite().all():
            raise UserError(
                f"adapter={path} cannot be used: {key} holds NaN or infinity. Use another snapshot."
            )
    return header, tensors


def declared_scales(path: str | Path, header: Mapping[str, str]) -> dict[str, object]:
    """Gives the LoraConfig entries (`lora_alpha`, `use_rslora`, ...) that belong to the file, without prefix.

    diffusers puts them in the header (`lora_adapter_metadata`), PEFT in `adapter_config.json` beside it.
    """
    beside = Path(path).with_name("adapter_config.json")
    text: str | bytes | None = header.get("lora_adapter_metadata")
    if not text and Path(path).name == "adapter_model.safetensors" and beside.is_file():
        text = beside.read_bytes()
    if not text:
        return {}
    try:
        declared = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"adapter={path} cannot be used: its declared configuration is damaged: {error}."
        ) from error
    if not isinstance(declared, dict):
        raise UserError(
            f"adapter={path} cannot be used: its declared configuration is damaged: no JSON object."
        )
    return {key.removeprefix("transformer."): value for key, value in declared.items()}


def require_modest(path: str | Path) -> None:
    """Refuses a file by its header's length and the shapes in it, before anything of that size is allocated.

    Raises:
        UserError: naming the limit.
    """
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > MODEST_HEADER:
            raise UserError(
                f"adapter={path} is refused: it claims a header of {length} bytes ({MODEST_HEADER} are allowed; "
                f"the file has {size}). It is damaged, or made to exhaust memory; download or export it again."
            )
        text = file.read(length)
    try:
        header = json.loads(text)
        shapes = [entry["shape"] for key, entry in header.items() if key != "__metadata__"]
        numbers = [math.prod(shape) for shape in shapes]
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return  # no header at all: safetensors says so best
    if len(shapes) > MOST_TENSORS or any(number < 0 for number in numbers) or 4 * sum(numbers) > LARGEST_FP32:
        raise UserError(
            f"adapter={path} is refused: {len(shapes)} tensors of {sum(numbers)} numbers ({MOST_TENSORS} tensors and "
            f"{LARGEST_FP32 // 4} numbers are allowed). This is no adapter."
        )


def _read(path: str | Path, *, tensors: bool) -> tuple[dict[str, str], dict[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    _require_safetensors_name(path)
    require_modest(path)
    try:
        with safe_open(path, framework="pt") as file:
            # a safetensors file has keys() and no iteration over itself
            content = {key: file.get_tensor(key) for key in file.keys()} if tensors else {}  # noqa: SIM118
            return dict(file.metadata() or {}), content
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"adapter={path} is not a complete safetensors file ({path.stat().st_size} bytes): {error}. "
            "It may be cut off, or of another format under this name; download or export it again."
        ) from error


def _require_safetensors_name(path: Path) -> None:
    if path.suffix.lower() in PICKLES:
        raise UserError(
            f"adapter={path} is refused: a {path.suffix} file is a pickle, and loading a pickle runs "
            "whatever code is in it. Use the .safetensors version of this adapter."
        )
    if path.is_dir():
        found = ", ".join(sorted(file.name for file in path.glob("*.safetensors"))[:5]) or "none in it"
        raise UserError(f"adapter={path} is a folder; name a .safetensors file ({found}).")
    if not path.is_file():
        raise UserError(f"adapter={path} does not exist (looked in {path.parent.resolve()}).")
    if path.suffix.lower() != ".safetensors":
        raise UserError(f"adapter={path} is not a .safetensors file; no other format is read.")
