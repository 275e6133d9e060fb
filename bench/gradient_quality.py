"""How far each memory policy turns the adapter's gradient away from that of exact weights and products.

    python bench/gradient_quality.py --models nano_klein --out docs/gradient_quality.json      # any CPU
    python bench/gradient_quality.py --models flux2_klein4b zimage_turbo --out ...             # a GPU

For every policy and several noise levels: cosine and relative error of the whole gradient (all adapted layers as one
vector) and the worst layer's cosine, against fp32 weights and products. nano_klein has trained weights, the large
models random ones of the true shapes. bf16 is the yardstick: what everybody trains with.
"""

from __future__ import annotations

import abc
import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

SIGMAS = (0.1, 0.3, 0.5, 0.7, 0.9)
POLICIES = {
    "bf16": (None, False),
    "int8 exact": ("int8", False),
    "int8": ("int8", True),
    "fp8 exact": ("fp8", False),
    "fp8": ("fp8", True),
    "nf4": ("nf4", False),
}
RANK = 16


def main() -> None:
    """Measures, keeps what other models have in the file, and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["nano_klein"])
    parser.add_argument("--resolution", type=int, default=512, help="of the large models")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = [row for model in arguments.models for row in measured(model, arguments.resolution)]
    if arguments.out:
        before = json.loads(arguments.out.read_text()) if arguments.out.is_file() else []
        rows = [*(row for row in before if row["model"] not in arguments.models), *rows]
        arguments.out.write_text(json.dumps(rows, indent=1) + "\n")
    print(table(rows))


def measured(model: str, resolution: int) -> list[dict[str, Any]]:
    """Gives a row for each policy and noise level of a model."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    setting = Nano(device) if model == "nano_klein" else Large(model, resolution, device)
    exact = [setting.gradient(None, False, sigma, torch.float32) for sigma in SIGMAS]
    rows = []
    for policy, (kind, low_bit) in POLICIES.items():
        for sigma, right in zip(SIGMAS, exact, strict=True):
            found = setting.gradient(kind, low_bit, sigma, torch.bfloat16)
            rows.append({"model": model, "policy": policy, "sigma": sigma, **compared(found, right)})
        print(json.dumps(rows[-1]), flush=True)
    return rows


def compared(found: dict[str, Tensor], right: dict[str, Tensor]) -> dict[str, float]:
    """Gives cosine and relative error of all layers together, and the worst layer's cosine."""
    a = torch.cat([found[name].double().flatten() for name in right])
    b = torch.cat([right[name].double().flatten() for name in right])
    layers = [
        float(
            nn.functional.cosine_similarity(
                found[name].double().flatten(), right[name].double().flatten(), dim=0
            )
        )
        for name in right
    ]
    return {
        "cosine": round(float(nn.functional.cosine_similarity(a, b, dim=0)), 6),
        "relative_error": round(float((a - b).norm() / b.norm()), 5),
        "worst_layer_cosine": round(min(layers), 5),
    }


class Setting(abc.ABC):
    """A model with one picture: gives the gradient of its loss by the adapter."""

    device: torch.device
    base: Any
    quantized: str
    latents: Tensor
    prompts: list[Tensor]
    network: nn.Module | None = None
    held: tuple[Any, ...] = ()

    @abc.abstractmethod
    def make(self, kind: str | None, low_bit: bool, dtype: torch.dtype) -> nn.Module:
        """Makes the transformer, its weights held so."""

    def gradient(
        self, kind: str | None, low_bit: bool, sigma: float, dtype: torch.dtype
    ) -> dict[str, Tensor]:
        """Gives the gradient of every adapter tensor."""
        from loralab.adapter import LoraSpec, inject
        from loralab.adapter.lora import named_tensors
        from loralab.memory import Placement

        if self.held != (kind, low_bit, dtype):
            self.network = None
            network = self.make(kind, low_bit, dtype)
            inject(
                network,
                LoraSpec(rank=RANK, alpha=RANK, targets="attention_mlp"),
                pattern=self.base.target_pattern("attention_mlp"),
            )
            source = torch.Generator().manual_seed(1)
            with torch.no_grad():
                for tensor in named_tensors(network).values():
                    drawn = torch.randn(tensor.shape, generator=source)
                    tensor.copy_(drawn * tensor.shape[-1] ** -0.5 * 0.3)
            Placement(self.device, dtype, checkpointing="full").apply(network)
            self.network, self.held = network, (kind, low_bit, dtype)
        assert self.network is not None
        self.base.place(Placement(self.device, dtype))
        denoiser = self.base.with_transformer(self.network)
        noise = torch.randn(self.latents.shape, generator=torch.Generator().manual_seed(2)).to(self.device)
        latents, at = (
            self.latents.to(self.device),
            torch.full((len(self.latents),), sigma, device=self.device),
        )
        velocity = denoiser.velocity(
            (1 - sigma) * latents + sigma * noise, sigma=at, prompt_embeds=self.prompts
        )
        self.network.zero_grad()
        (velocity - (noise - latents)).square().mean().backward()
        return {name: tensor.grad.clone() for name, tensor in named_tensors(self.network).items()}


class Nano(Setting):
    """The shipped twin with its trained weights, on pictures and captions of the demo."""

    def __init__(self, device: torch.device) -> None:
        """Encodes eight of the demo's pictures."""
        from hydra import compose, initialize_config_dir
        from hydra.utils import instantiate

        from loralab.config import CONF, model_arguments
        from loralab.data import encode
        from loralab.families.flux2_klein.components import QUANTIZED

        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = compose("train", [f"cache_root={ROOT / 'outputs' / 'cache'}"])
        self.device, self.quantized = device, QUANTIZED
        self.base = instantiate(model_arguments(config))
        dataset = instantiate(config.dataset)
        encoded = encode(dataset.collect(self.base.size_multiple), self.base, show_progress=False)
        batch = next(iter(encoded.loader(micro_batch_size=8, num_micro_steps=1, seed=0)))
        self.latents, self.prompts = batch.latents, list(batch.prompt_embeds)

    def make(self, kind: str | None, low_bit: bool, dtype: torch.dtype) -> nn.Module:
        """Loads the shipped weights."""
        import copy

        from loralab.linears import frozen_linear

        self.base.release("transformer")
        network = copy.deepcopy(self.base.transformer).to(self.device)
        for name, module in list(network.named_modules()):
            if kind and isinstance(module, nn.Linear) and re.fullmatch(self.quantized, name):
                layer = frozen_linear(module.weight.data, bias=module.bias, kind=kind, low_bit=low_bit)
                network.set_submodule(name, layer)
        return network.to(dtype) if kind is None else network


class Large(Setting):
    """A model of the true shapes with random weights."""

    def __init__(self, model: str, resolution: int, device: torch.device) -> None:
        """Draws one picture and one prompt."""
        from bench.shapes import Case, denoiser, latents_shape, prompt_embeds

        self.case, self.device = Case(model, resolution=resolution), device
        self.base = denoiser(self.case)
        self.latents = torch.randn(1, *latents_shape(self.case), generator=torch.Generator().manual_seed(0))
        self.prompts = list(prompt_embeds(self.case, device))

    def make(self, kind: str | None, low_bit: bool, dtype: torch.dtype) -> nn.Module:
        """Draws the weights, the same at every call."""
        from bench.shapes import build, random_tensors

        from loralab.memory import Placement
        from loralab.memory.loading import empty

        family = __import__(f"loralab.families.{self.base.family}.components", fromlist=["x"])
        attention = __import__(f"loralab.families.{self.base.family}.attention", fromlist=["x"])
        blank = empty(lambda: build(self.case.model))
        placement = Placement(self.device, dtype, kind=kind, low_bit=low_bit)
        network = placement.filled(
            lambda: blank, random_tensors(blank, self.device), quantized=family.QUANTIZED
        )
        made: nn.Module = attention.use_processors(network)
        return made


def table(rows: list[dict[str, Any]]) -> str:
    """Gives the mean over noise levels, and the worst of them."""
    lines = [
        "| model | policy | cosine, mean (worst) | relative error, mean (worst) | worst layer's cosine |",
        "| --- | --- | --- | --- | --- |",
    ]
    for model, policy in dict.fromkeys((row["model"], row["policy"]) for row in rows):
        chosen = [row for row in rows if (row["model"], row["policy"]) == (model, policy)]
        cosines, errors = [r["cosine"] for r in chosen], [r["relative_error"] for r in chosen]
        mean = [sum(values) / len(values) for values in (cosines, errors)]
        worst = min(row["worst_layer_cosine"] for row in chosen)
        cosine, error = f"{mean[0]:.5f} ({min(cosines):.5f})", f"{mean[1]:.2%} ({max(errors):.2%})"
        lines.append(f"| {model} | {policy} | {cosine} | {error} | {worst:.4f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
