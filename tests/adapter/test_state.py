import pytest
import torch
from tests.adapter.twins import KLEIN, Twin

from loralab.adapter import adapter_parameters, adapter_state, load_adapter_state, with_state
from loralab.errors import UserError


@pytest.mark.parametrize("kind", [{}, {"use_dora": True}])
def test_a_state_put_into_another_transformer_gives_the_same_velocity(twin: Twin, kind: dict):
    first, second = twin.trained(seed=1, **kind), twin.trained(seed=2, **kind)

    load_adapter_state(second, adapter_state(first))

    assert torch.equal(twin.velocity(second), twin.velocity(first))


def test_a_state_is_a_copy_of_the_adapter_alone(twin: Twin):
    transformer = twin.trained()

    state = adapter_state(transformer)
    for tensor in state.values():
        tensor.zero_()

    assert all(key.endswith((".lora_A.weight", ".lora_B.weight")) for key in state)
    assert all(parameter.any() for parameter in adapter_parameters(transformer))


def test_loading_keeps_the_parameters_that_an_optimizer_holds(twin: Twin):
    transformer = twin.trained(seed=1)
    held = adapter_parameters(transformer)

    load_adapter_state(transformer, adapter_state(twin.trained(seed=2)))

    assert all(old is new for old, new in zip(held, adapter_parameters(transformer), strict=True))


@pytest.mark.parametrize(
    "other", [{"rank": 8}, {"targets": "attention"}, {"targets": "all"}, {"use_dora": True}]
)
def test_a_state_of_another_shape_is_refused_and_nothing_is_written(other: dict):
    transformer = KLEIN.trained(seed=1)
    before = adapter_state(transformer)

    with pytest.raises(UserError, match="does not fit the configured one"):
        load_adapter_state(transformer, adapter_state(KLEIN.trained(seed=2, **other)))

    assert all(torch.equal(tensor, before[key]) for key, tensor in adapter_state(transformer).items())


def test_a_state_is_lent_and_taken_back(twin: Twin):
    transformer, other = twin.trained(seed=1), twin.trained(seed=2)
    own = twin.velocity(transformer)

    with with_state(transformer, adapter_state(other)):
        lent = twin.velocity(transformer)

    assert torch.equal(lent, twin.velocity(other))
    assert torch.equal(twin.velocity(transformer), own)


def test_a_lent_state_is_taken_back_after_an_error():
    transformer = KLEIN.trained(seed=1)
    own = KLEIN.velocity(transformer)

    def fail() -> None:
        with with_state(transformer, adapter_state(KLEIN.trained(seed=2))):
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()

    assert torch.equal(KLEIN.velocity(transformer), own)
