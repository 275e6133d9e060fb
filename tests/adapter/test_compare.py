from __future__ import annotations

import pytest
import torch
from tests.tiny import zimage_transformer
from torch import nn

from loralab.adapter import LoraSpec, inject
from loralab.adapter.compare import update_cosine
from loralab.adapter.layers import TRAINED, adapter_layers
from loralab.adapter.lora import add_lora

SPEC = LoraSpec(rank=4, alpha=2, targets="attention")


@pytest.fixture
def transformer() -> nn.Module:
    """Carries two random adapters on the same layers, of different ranks."""
    made: nn.Module = zimage_transformer()
    names = inject(made, SPEC, pattern=r"layers\.\d+\.attention\.to_[qkv]")
    add_lora(made, LoraSpec(rank=3, alpha=6, targets="x"), ranks=dict.fromkeys(names, 3), name="other")
    with torch.no_grad():
        for layer in adapter_layers(made).values():
            for name in (TRAINED, "other"):
                layer.lora_A[name].weight.normal_()
                layer.lora_B[name].weight.normal_()
    return made


def test_the_cosine_is_that_of_the_products_themselves(transformer: nn.Module) -> None:
    def updates(name: str) -> torch.Tensor:
        layers = adapter_layers(transformer, name=name).values()
        products = [
            layer.scaling[name] * layer.lora_B[name].weight @ layer.lora_A[name].weight for layer in layers
        ]
        return torch.cat([product.flatten() for product in products])

    expected = torch.cosine_similarity(updates(TRAINED), updates("other"), dim=0).item()

    assert update_cosine(transformer, "other") == pytest.approx(expected, abs=1e-5)
    assert abs(expected) > 1e-3


def test_an_adapter_has_cosine_one_with_itself_and_zero_with_none(transformer: nn.Module) -> None:
    assert update_cosine(transformer, TRAINED) == pytest.approx(1.0)
    with torch.no_grad():
        for layer in adapter_layers(transformer).values():
            layer.lora_B["other"].weight.zero_()
    assert update_cosine(transformer, "other") == 0.0
    assert update_cosine(transformer, "absent") == 0.0
