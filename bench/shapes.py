"""Networks of the true shapes with random weights, made on the device tensor by tensor.

Sizes are those of the published component configs. Random weights are scaled so that activations keep their size.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

KLEIN = {
    "flux2_klein4b": {
        "num_layers": 5,
        "num_single_layers": 20,
        "num_attention_heads": 24,
        "joint_attention_dim": 7680,
    },
    "flux2_klein9b": {
        "num_layers": 8,
        "num_single_layers": 24,
        "num_attention_heads": 32,
        "joint_attention_dim": 12288,
    },
}
PROMPT_TOKENS = {"flux2_klein4b": 512, "flux2_klein9b": 512, "zimage_turbo": 100, "zimage_base": 100}
"""Klein always sees 512; a Z-Image caption of 100 tokens is padded to 128."""


@dataclass(frozen=True)
class Case:
    """One measurement: what runs, and how the base is held.

    Attributes:
        model: its name in conf/model.
        variant: ours, or reference (what public training scripts run).
        kind: bf16, int8, fp8 or nf4.
        low_bit: products in the format itself.
        checkpointing: full, selective or none; checkpointed_blocks: share of the blocks that it is for.
        compile: blocks are compiled.
        offload_blocks, offload_activations: as in conf/memory.
        resolution, batch, rank: of the step.
        cap_gib: hard limit on the device's memory, or None.
    """

    model: str
    variant: str = "ours"
    kind: str = "bf16"
    low_bit: bool = False
    checkpointing: str = "selective"
    checkpointed_blocks: float = 1.0
    compile: bool = True
    offload_blocks: float = 0.0
    offload_activations: bool = False
    resolution: int = 1024
    batch: int = 1
    rank: int = 16
    cap_gib: float | None = None

    @property
    def tokens(self) -> int:
        """Tokens that a block sees for one picture."""
        prompt = PROMPT_TOKENS[self.model]
        padded = prompt if self.model in KLEIN else -(-prompt // 32) * 32
        return (self.resolution // 16) ** 2 + padded

    @property
    def label(self) -> str:
        """Says in a few words what is special about it."""
        if self.variant == "reference":
            return "reference"
        parts = [self.kind + (" exact" if self.kind in ("int8", "fp8") and not self.low_bit else "")]
        parts.append(self.checkpointing if self.checkpointing != "none" else "everything kept")
        parts[-1] += f" on {self.checkpointed_blocks:.0%}" if self.checkpointed_blocks < 1 else ""
        parts += ["activations offloaded"] if self.offload_activations else []
        parts += [f"{self.offload_blocks:.0%} of blocks swapped"] if self.offload_blocks else []
        parts += [] if self.compile else ["eager"]
        return ", ".join(parts)


def to_json(case: Case) -> str:
    """Gives a case as an argument for another process."""
    return json.dumps(vars(case))


def build(model: str) -> nn.Module:
    """Gives a transformer; run it under `loralab.memory.loading.empty`."""
    from diffusers import Flux2Transformer2DModel, ZImageTransformer2DModel

    if model not in KLEIN:
        return ZImageTransformer2DModel()
    return Flux2Transformer2DModel(
        patch_size=1, in_channels=128, attention_head_dim=128, timestep_guidance_channels=256, mlp_ratio=3.0,
        axes_dims_rope=(32, 32, 32, 32), rope_theta=2000, guidance_embeds=False, **KLEIN[model],
    )  # fmt: skip


def random_tensors(network: nn.Module, device: torch.device) -> Iterator[tuple[str, Tensor]]:
    """Gives a random bf16 tensor for each parameter: norms 1, matrices of deviation 1/sqrt(width), the rest small."""
    source = torch.Generator(device).manual_seed(0)
    for name, shape in [(name, parameter.shape) for name, parameter in network.named_parameters()]:
        if len(shape) == 1 and name.endswith("weight"):
            yield name, torch.ones(shape, device=device, dtype=torch.bfloat16)
            continue
        drawn = torch.randn(shape, generator=source, device=device, dtype=torch.bfloat16)
        yield name, drawn * (shape[-1] ** -0.5 if len(shape) > 1 else 0.02)


def denoiser(case: Case) -> Any:
    """Gives the family's denoiser, which reads no file as long as its transformer is given to it."""
    from loralab.denoiser import Sampling
    from loralab.families.flux2_klein import Flux2Klein
    from loralab.families.z_image import ZImage

    family: Any = Flux2Klein if case.model in KLEIN else ZImage
    return family(name=case.model, checkpoint=".", sampling=Sampling(1, 0, 64, 64))


def latents_shape(case: Case) -> tuple[int, int, int]:
    """Gives (c, h, w) of the latents."""
    side = case.resolution // (16 if case.model in KLEIN else 8)
    return (128 if case.model in KLEIN else 16, side, side)


def prompt_embeds(case: Case, device: torch.device) -> Tensor:
    """Gives random prompt embeddings [b, l, d]."""
    width = KLEIN[case.model]["joint_attention_dim"] if case.model in KLEIN else 2560
    shape = (case.batch, PROMPT_TOKENS[case.model], width)
    return torch.randn(shape, device=device, dtype=torch.bfloat16)
