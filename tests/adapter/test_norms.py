import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.adapter.twins import Twin

from loralab.adapter import LoraSpec, adapter_parameters, all_finite, inject, require_change, update_norms
from loralab.adapter.layers import adapter_layers
from loralab.adapter.norms import product_norm
from loralab.errors import UserError

SIZES = st.integers(1, 9)


@given(SIZES, SIZES, SIZES, st.integers(0, 1000))
def test_the_norm_of_a_product_needs_only_its_gram_matrices(rows: int, rank: int, columns: int, seed: int):
    generator = torch.Generator().manual_seed(seed)
    b, a = torch.randn(rows, rank, generator=generator), torch.randn(rank, columns, generator=generator)

    norm = product_norm(b, a)

    torch.testing.assert_close(norm, (b @ a).norm(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [{}, {"use_rslora": True}, {"use_dora": True}])
def test_update_norms_are_those_of_the_weights_that_peft_merges(twin: Twin, kind: dict):
    transformer = twin.trained(**kind)

    norms = update_norms(transformer)

    for name, layer in adapter_layers(transformer).items():
        before = layer.get_base_layer().weight.detach().clone()
        layer.merge()
        moved = (layer.get_base_layer().weight - before).norm().item()
        assert norms[name] == pytest.approx(moved, rel=1e-4)


def test_relative_norms_are_fractions_of_the_base_weight(twin: Twin):
    transformer = twin.trained()

    absolute, relative = update_norms(transformer), update_norms(transformer, relative=True)

    for name, layer in adapter_layers(transformer).items():
        assert relative[name] == pytest.approx(absolute[name] / layer.get_base_layer().weight.norm().item())


def test_an_adapter_that_changed_nothing_is_an_error(twin: Twin):
    transformer = twin.base()
    inject(transformer, LoraSpec(rank=2, alpha=2, targets="attention"), pattern=twin.targets["attention"])

    norms = update_norms(transformer)

    assert set(norms.values()) == {0.0}
    with pytest.raises(UserError, match="changed nothing"):
        require_change(norms)


def test_one_layer_that_moved_is_change_enough(twin: Twin):
    norms = dict.fromkeys(update_norms(twin.trained()), 0.0)
    norms[next(iter(norms))] = 1e-9

    require_change(norms)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_one_bad_number_is_not_finite(twin: Twin, value: float):
    transformer = twin.trained()
    assert all_finite(transformer)

    with torch.no_grad():
        adapter_parameters(transformer)[-1].view(-1)[3] = value

    assert not all_finite(transformer)
