"""Files as other tools write them, made from an adapter of ours: keys, alpha and fused layers are theirs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tests.adapter.twins import Twin
from torch import Tensor, nn

from loralab.adapter.layers import adapter_layers

Pair = tuple[str, Tensor, Tensor]
ALPHA = 2.0
RANK = 4


def pairs(transformer: nn.Module) -> Iterator[Pair]:
    """Gives (module, A, B) of the trained adapter, alpha not applied."""
    for name, layer in adapter_layers(transformer).items():
        yield name, layer.lora_A["adapter"].weight.detach(), layer.lora_B["adapter"].weight.detach()


def tie_fused(twin: Twin, transformer: nn.Module) -> None:
    """Gives the layers that the original checkpoint fuses one common A, as an adapter on the fused layer has."""
    shared: dict[str, Tensor] = {}
    for name, a, _ in pairs(transformer):
        if fused := renamed(name, twin.fused):
            a.copy_(shared.setdefault(fused, a.clone()))


def renamed(name: str, table: Mapping[str, str]) -> str | None:
    """Gives the first replacement of the table whose pattern is the whole name."""
    matches = ((re.fullmatch(pattern, name), template) for pattern, template in table.items())
    return next((match.expand(template) for match, template in matches if match), None)


def original(twin: Twin, transformer: nn.Module) -> Iterator[Pair]:
    """Gives (module, A, B) under the original checkpoint's names: q, k and v in one, their B one below the other."""
    fused: dict[str, tuple[Tensor, list[Tensor]]] = {}
    for name, a, b in pairs(transformer):
        if joint := renamed(name, twin.fused):
            fused.setdefault(joint, (a, []))[1].append(b)
        else:
            yield renamed(name, twin.original) or name, a, b
    for name, (a, bs) in fused.items():
        yield name, a, torch.cat(bs)


def diffusers(twin: Twin, transformer: nn.Module, path: Path) -> None:
    """Diffusers' training scripts: alpha stands in the header only."""
    tensors = {
        f"transformer.{n}.lora_{x}.weight": t
        for n, a, b in pairs(transformer)
        for x, t in (("A", a), ("B", b))
    }
    modules = [name for name, _, _ in pairs(transformer)]
    declared = {"transformer.r": RANK, "transformer.lora_alpha": ALPHA, "transformer.target_modules": modules}
    save(tensors, path, {"format": "pt", "lora_adapter_metadata": json.dumps(declared)})


def diffusers_rslora(twin: Twin, transformer: nn.Module, path: Path) -> None:
    """The same scale declared as rsLoRA's (2 / 4 = 1 / sqrt(4)); one module has half the B and twice the alpha."""
    diffusers(twin, transformer, path)
    tensors, (name, _, _) = load_file(path), next(pairs(transformer))
    tensors[f"transformer.{name}.lora_B.weight"] /= 2
    declared = {"lora_alpha": 1.0, "use_rslora": True, "alpha_pattern": {f"^{re.escape(name)}": 2.0}}
    header = json.dumps({f"transformer.{key}": value for key, value in declared.items()})
    save(tensors, path, {"lora_adapter_metadata": header})


def peft(twin: Twin, transformer: nn.Module, path: Path) -> None:
    """PEFT's save_pretrained: alpha stands in a file beside it."""
    tensors = {
        f"base_model.model.{n}.lora_{x}.weight": t
        for n, a, b in pairs(transformer)
        for x, t in (("A", a), ("B", b))
    }
    path.with_name("adapter_config.json").write_text(
        json.dumps({"r": RANK, "lora_alpha": ALPHA, "use_rslora": False})
    )
    save(tensors, path)


def peft_named(twin: Twin, transformer: nn.Module, path: Path) -> None:
    """A raw PEFT state dict: the adapter's name is in the keys, and no alpha anywhere (so it is in B)."""
    tensors = {}
    for name, a, b in pairs(transformer):
        tensors[f"base_model.model.transformer.{name}.lora_A.default.weight"] = a
        tensors[f"base_model.model.transformer.{name}.lora_B.default.weight"] = b * ALPHA / RANK
    save(tensors, path)


def comfy(twin: Twin, transformer: nn.Module, path: Path) -> None:
    """ai-toolkit for ComfyUI, with alpha keys."""
    save(with_alpha(pairs(transformer), "diffusion_model.{}", down="lora_A", up="lora_B"), path)


def bare(twin: Twin, transformer: nn.Module, path: Path) -> None:
    """No prefix at all, and kohya's parts."""
    save(with_alpha(pairs(transformer), "{}"), path)


def dotted(twin: Twin, transformer: nn.Module, path: Path) -> None:
    """Parts spelled with dots."""
    save(with_alpha(pairs(transformer), "diffusion_model.{}", down="lora.down", up="lora.up"), path)


def kohya(twin: Twin, transformer: nn.Module, path: Path) -> None:
    """Kohya and musubi-tuner on diffusers' layers: every dot of the module an underscore."""
    flat = ((name.replace(".", "_"), a, b) for name, a, b in pairs(transformer))
    save(with_alpha(flat, "lora_unet_{}"), path)


def original_comfy(twin: Twin, transformer: nn.Module, path: Path) -> None:
    """ComfyUI's own names, those of the original checkpoint, q, k and v fused."""
    save(with_alpha(original(twin, transformer), "diffusion_model.{}", down="lora_A", up="lora_B"), path)


def original_baked(twin: Twin, transformer: nn.Module, path: Path) -> None:
    """The same without alpha keys: what diffusers converts, too."""
    scaled = ((name, a, b * ALPHA / RANK) for name, a, b in original(twin, transformer))
    save(
        {
            k: t
            for k, t in with_alpha(scaled, "diffusion_model.{}", down="lora_A", up="lora_B").items()
            if "alpha" not in k
        },
        path,
    )


def original_kohya(twin: Twin, transformer: nn.Module, path: Path) -> None:
    """Kohya and musubi-tuner on the original checkpoint's layers."""
    flat = ((name.replace(".", "_"), a, b) for name, a, b in original(twin, transformer))
    save(with_alpha(flat, "lora_unet_{}"), path)


def with_alpha(
    found: Iterator[Pair], key: str, *, down: str = "lora_down", up: str = "lora_up"
) -> dict[str, Tensor]:
    tensors = {}
    for name, a, b in found:
        module = key.format(name)
        tensors[f"{module}.{down}.weight"], tensors[f"{module}.{up}.weight"] = a, b
        tensors[f"{module}.alpha"] = torch.tensor(ALPHA)
    return tensors


def save(tensors: dict[str, Tensor], path: Path, header: dict[str, str] | None = None) -> None:
    save_file({key: tensor.clone().contiguous() for key, tensor in tensors.items()}, path, header)


WRITERS: tuple[Callable[[Twin, nn.Module, Path], None], ...] = (
    diffusers,
    diffusers_rslora,
    peft,
    peft_named,
    comfy,
    bare,
    dotted,
    kohya,
    original_comfy,
    original_baked,
    original_kohya,
)
