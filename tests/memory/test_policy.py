"""A policy says in which precision the base is held, refuses what breaks, and changes cost but not results."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from tests.tiny import klein_transformer

from loralab.errors import UserError
from loralab.memory import MemoryPolicy, peak_memory_gib

CONF = Path(__file__).parents[2] / "conf" / "memory"
NAMES = sorted(path.stem for path in CONF.glob("*.yaml"))
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_the_folder_holds_the_policies() -> None:
    assert NAMES == ["auto", "bf16", "fp32"]


@pytest.mark.parametrize("name", NAMES)
def test_every_file_makes_the_policy_that_it_is_named_after(name: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        policy = instantiate(compose(name))

    assert policy == MemoryPolicy(precision=name)


def test_precision_follows_the_device_unless_it_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)

    chosen = {name: [MemoryPolicy(precision=name).dtype(device) for device in (CPU, CUDA)] for name in NAMES}

    assert chosen["auto"] == [torch.float32, torch.bfloat16]
    assert chosen["bf16"] == [torch.bfloat16, torch.bfloat16]
    assert chosen["fp32"] == [torch.float32, torch.float32]


def test_a_gpu_without_bf16_is_told_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)

    with pytest.raises(
        UserError, match=r"memory.precision=auto: this GPU does not compute in bf16; use memory=fp32"
    ):
        MemoryPolicy().dtype(CUDA)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"precision": "fp16"}, "memory.precision=fp16 overflows .* use memory=bf16"),
        ({"precision": "int3"}, "memory.precision=int3 is unknown; choose auto, bf16 or fp32"),
        ({"checkpointing": "some"}, "memory.checkpointing=some is unknown; choose auto, full or none"),
    ],
)
def test_what_cannot_be_is_said_with_the_key_and_the_value(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        MemoryPolicy(**arguments)


def test_checkpointing_recomputes_the_blocks_and_leaves_the_gradients_equal() -> None:
    torch.manual_seed(0)
    transformer = klein_transformer()

    MemoryPolicy(checkpointing="none").apply(transformer)
    kept, calls_kept = _gradients(transformer)
    MemoryPolicy(checkpointing="full").apply(transformer)
    recomputed, calls_recomputed = _gradients(transformer)

    assert calls_recomputed == 2 * calls_kept
    assert all(torch.equal(a, b) for a, b in zip(kept, recomputed, strict=True))


def test_on_a_cpu_nothing_is_recomputed_unless_asked_for() -> None:
    transformer = klein_transformer()

    MemoryPolicy().apply(transformer)

    assert not transformer.is_gradient_checkpointing


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # dynamo asks for it
def test_compiled_blocks_give_the_same_gradients() -> None:
    torch.manual_seed(0)
    transformer = klein_transformer()

    eager, _ = _gradients(transformer)
    MemoryPolicy(compile=True).apply(transformer)
    compiled, _ = _gradients(transformer)

    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(eager, compiled, strict=True))


def test_the_peak_of_a_process_covers_what_it_has_held() -> None:
    before = peak_memory_gib(CPU)

    held = torch.ones(2**28)  # 1 GiB
    after = peak_memory_gib(CPU)

    assert after >= held.nbytes / 2**30
    assert before <= after < 64


def _gradients(transformer: Any) -> tuple[list[torch.Tensor], int]:
    """Gives the gradients of one backward pass and how often the first block ran for it."""
    calls: list[int] = []
    handle = transformer.transformer_blocks[0].register_forward_pre_hook(lambda *_: calls.append(1))
    generator = torch.Generator().manual_seed(1)
    transformer.train()
    transformer.zero_grad()
    velocity = transformer(
        hidden_states=torch.randn(1, 16, 16, generator=generator),
        timestep=torch.full((1,), 0.5),
        guidance=None,
        encoder_hidden_states=torch.randn(1, 4, 48, generator=generator),
        txt_ids=torch.zeros(4, 4),
        img_ids=torch.cartesian_prod(*(torch.arange(size) for size in (1, 4, 4, 1))).float(),
        return_dict=False,
    )[0]
    velocity.square().mean().backward()
    handle.remove()
    gradients = [parameter.grad for parameter in transformer.parameters()]
    return [gradient.clone() for gradient in gradients if gradient is not None], len(calls)
