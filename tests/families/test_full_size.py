"""The real architectures, without weights: layers and adapter parameters of each choice of targets."""

from __future__ import annotations

import re

import pytest
import torch

from loralab.denoiser import Denoiser, Sampling
from loralab.families.flux2_klein import Flux2Klein
from loralab.families.z_image import ZImage

SAMPLING = Sampling(num_steps=4, guidance_scale=0.0, height=1024, width=1024)
KLEIN_4B = {"num_layers": 5, "num_single_layers": 20, "num_attention_heads": 24, "joint_attention_dim": 7680}
KLEIN_9B = {"num_layers": 8, "num_single_layers": 24, "num_attention_heads": 32, "joint_attention_dim": 12288}


def empty_klein(**sizes: int) -> tuple[Denoiser, torch.nn.Module]:
    from diffusers import Flux2Transformer2DModel

    with torch.device("meta"):
        network = Flux2Transformer2DModel(guidance_embeds=False, **sizes)
    return Flux2Klein(name="empty", checkpoint="unused", sampling=SAMPLING), network


def empty_zimage() -> tuple[Denoiser, torch.nn.Module]:
    from diffusers import ZImageTransformer2DModel

    with torch.device("meta"):
        network = ZImageTransformer2DModel()
    return ZImage(name="empty", checkpoint="unused", sampling=SAMPLING), network


@pytest.mark.parametrize(
    ("model", "targets", "num_layers", "million_parameters"),
    [
        ("4b", "attention", 60, 33.4),
        ("4b", "attention_mlp", 100, 48.2),
        ("9b", "attention", 80, 55.6),
        ("9b", "attention_mlp", 144, 87.0),
        ("z", "attention", 120, 29.5),
        ("z", "attention_mlp", 210, 70.0),
        ("z", "all", 270, 95.4),
    ],
)
def test_targets_on_the_real_architectures(
    model: str, targets: str, num_layers: int, million_parameters: float
) -> None:
    denoiser, network = {
        "4b": lambda: empty_klein(**KLEIN_4B), "9b": lambda: empty_klein(**KLEIN_9B), "z": empty_zimage
    }[model]()  # fmt: skip
    pattern = denoiser.target_pattern(targets)

    layers = [layer for name, layer in network.named_modules() if re.fullmatch(pattern, name)]

    assert len(layers) == num_layers
    at_rank_32 = 32 * sum(layer.in_features + layer.out_features for layer in layers)
    assert at_rank_32 / 1e6 == pytest.approx(million_parameters, abs=0.05)
