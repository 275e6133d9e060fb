import pytest
import torch
from tests.adapter.twins import KLEIN, ZIMAGE, Twin, randomise
from torch import nn

from loralab.adapter import LoraSpec, adapter_parameters, adapter_state, disabled, inject, update_norms
from loralab.adapter.layers import adapter_layers, tuner_layers
from loralab.adapter.lora import add_lora
from loralab.errors import UserError

SPEC = LoraSpec(rank=4, alpha=2.0, targets="attention_mlp")


@pytest.mark.parametrize(
    "kind", [{}, {"use_rslora": True}, {"use_dora": True}, {"init": "gaussian"}, {"init": "orthogonal"}]
)
def test_a_new_adapter_leaves_the_velocity_as_it_was(twin: Twin, kind: dict):
    transformer = twin.base()
    before = twin.velocity(transformer)

    inject(transformer, LoraSpec(rank=4, alpha=2.0, targets="all", **kind), pattern=twin.targets["all"])

    torch.testing.assert_close(twin.velocity(transformer), before, atol=1e-6, rtol=0)


def test_a_random_adapter_moves_the_velocity(twin: Twin):
    transformer = twin.trained()

    with disabled(transformer):
        base = twin.velocity(transformer)

    assert (twin.velocity(transformer) - base).abs().max() > 1e-3


def test_the_adapter_is_fp32_and_the_only_thing_that_trains_over_a_bf16_base(twin: Twin):
    transformer = twin.base(torch.bfloat16)
    weights = {name: parameter.clone() for name, parameter in transformer.named_parameters()}

    inject(transformer, SPEC, pattern=twin.targets["attention_mlp"])

    trained = {id(parameter) for parameter in adapter_parameters(transformer)}
    for name, parameter in transformer.named_parameters():
        assert parameter.requires_grad == (id(parameter) in trained)
        assert parameter.dtype == (torch.float32 if id(parameter) in trained else torch.bfloat16)
        if id(parameter) not in trained:
            assert torch.equal(parameter, weights[name.replace(".base_layer", "")])


def test_training_over_a_bf16_base_lowers_the_error_with_weights_finer_than_bf16(twin: Twin):
    transformer = twin.base(torch.bfloat16)
    inject(transformer, SPEC, pattern=twin.targets["attention_mlp"])
    target = twin.velocity(transformer) + 0.1
    optimizer = torch.optim.AdamW(adapter_parameters(transformer), lr=1e-2)

    errors = []
    for _ in range(8):
        error = (twin.answer(transformer) - target).float().square().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())

    assert errors[-1] < 0.9 * errors[0]
    assert any(tensor.bfloat16().float().ne(tensor).any() for tensor in adapter_state(transformer).values())


def test_inject_names_exactly_the_layers_that_the_pattern_matches():
    transformer = KLEIN.base()

    names = inject(transformer, SPEC, pattern=r"single_transformer_blocks\.\d+\.attn\.to_out")

    assert names == tuple(f"single_transformer_blocks.{n}.attn.to_out" for n in range(3))
    assert tuple(update_norms(transformer)) == names


def test_a_pattern_that_also_matches_containers_adapts_their_linear_layers_only(twin: Twin):
    transformer = twin.base()

    names = inject(transformer, SPEC, pattern=r".*(attn|attention).*")

    linears = [name for name, module in twin.base().named_modules() if isinstance(module, nn.Linear)]
    assert list(names) == [name for name in linears if "attn" in name or "attention" in name]


def test_a_pattern_without_any_linear_layer_is_an_error_that_quotes_the_targets(twin: Twin):
    spec = LoraSpec(rank=4, alpha=4, targets="to_q")

    with pytest.raises(UserError, match=r"adapter\.targets=to_q adapts nothing.*to_q"):
        inject(twin.base(), spec, pattern="to_q")


def test_a_pattern_that_matches_only_an_activation_is_an_error():
    with pytest.raises(UserError, match="adapts nothing"):
        inject(ZIMAGE.base(), SPEC, pattern=r"all_final_layer\.2-1\.adaLN_modulation\.0")


def test_everything_wrong_with_a_spec_is_said_at_once():
    with pytest.raises(UserError) as caught:
        LoraSpec(rank=0, alpha=-1.0, targets="", dropout=1.0, init="pissa")

    for key in (
        "adapter.rank=0",
        "adapter.alpha=-1",
        "adapter.targets",
        "adapter.dropout=1.0",
        "adapter.init=pissa",
    ):
        assert key in str(caught.value)


def test_an_orthogonal_start_needs_an_even_rank():
    with pytest.raises(UserError, match=r"even adapter\.rank, not 3"):
        LoraSpec(rank=3, alpha=3, targets="all", init="orthogonal")


def test_dropout_acts_in_training_only(twin: Twin):
    transformer = twin.trained(dropout=0.5)

    assert torch.equal(twin.velocity(transformer), twin.velocity(twin.trained()))
    assert not torch.equal(twin.velocity(transformer.train()), twin.velocity(twin.trained()))


def test_disabled_is_the_base_bit_for_bit_and_training_goes_on_after_it(twin: Twin):
    transformer = twin.trained()
    adapted, base = twin.velocity(transformer), twin.velocity(twin.base())

    with disabled(transformer):
        inside = twin.velocity(transformer)

    assert torch.equal(inside, base)
    assert torch.equal(twin.velocity(transformer), adapted)
    assert all(parameter.requires_grad for parameter in adapter_parameters(transformer))


def test_a_frozen_second_adapter_stays_frozen_through_disabled(twin: Twin):
    transformer = twin.base()
    adapted = inject(twin.base(), SPEC, pattern=twin.targets["attention"])
    add_lora(transformer, SPEC, ranks={adapted[0]: 4}, name="assistant")
    inject(transformer, SPEC, pattern=twin.targets["attention"])
    for layer in tuner_layers(transformer).values():
        layer.set_adapter(["assistant", "adapter"])
    assistant = adapter_parameters(transformer, name="assistant")
    for parameter in assistant:
        parameter.requires_grad_(False)

    with disabled(transformer):
        pass

    assert not any(parameter.requires_grad for parameter in assistant)
    assert all(
        layer.active_adapters == ["assistant", "adapter"] for layer in tuner_layers(transformer).values()
    )


def test_rslora_divides_alpha_by_the_root_of_the_rank(twin: Twin):
    plain, rank_stabilised = twin.trained(), twin.trained(use_rslora=True)

    norms, larger = update_norms(plain), update_norms(rank_stabilised)

    for name, norm in norms.items():
        assert larger[name] == pytest.approx(norm * 4**0.5, rel=1e-5)


def test_adapter_parameters_follow_the_order_of_the_layers(twin: Twin):
    transformer = twin.trained()

    modules = [key.rsplit(".lora_", 1)[0] for key in adapter_state(transformer)]

    assert list(dict.fromkeys(modules)) == list(adapter_layers(transformer))
    assert len(adapter_parameters(transformer)) == 2 * len(adapter_layers(transformer))


def test_randomise_reaches_every_tensor(twin: Twin):
    transformer = twin.base()
    inject(transformer, SPEC, pattern=twin.targets["all"])

    randomise(transformer)

    assert all(tensor.any() for tensor in adapter_state(transformer).values())
