"""A policy says how the base is held and run on a device, decides what was left open, and refuses what breaks."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from tests.tiny import klein_transformer

from loralab.errors import UserError
from loralab.memory import MemoryPolicy, Placement, peak_memory_gib

CONF = Path(__file__).parents[2] / "conf" / "memory"
NAMES = sorted(path.stem for path in CONF.glob("*.yaml"))
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_the_folder_holds_the_policies() -> None:
    assert NAMES == ["auto", "bf16", "fp32", "fp8", "int8", "nf4"]


@pytest.mark.parametrize("name", NAMES)
def test_every_file_makes_the_policy_that_it_is_named_after(name: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        policy = instantiate(compose(name))

    assert policy == MemoryPolicy(precision=name)


def test_precision_follows_the_device_unless_it_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)

    chosen = {name: [MemoryPolicy(precision=name).dtype(device) for device in (CPU, CUDA)] for name in NAMES}

    assert chosen.pop("auto") == [torch.float32, torch.bfloat16]
    assert chosen.pop("fp32") == [torch.float32, torch.float32]
    assert set(map(tuple, chosen.values())) == {(torch.bfloat16, torch.bfloat16)}


@pytest.mark.parametrize("name", ["auto", "bf16", "int8", "nf4"])
def test_a_gpu_without_bf16_is_told_the_way_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)

    with pytest.raises(
        UserError, match=rf"memory.precision={name}: this GPU does not compute in bf16; use memory=fp32"
    ):
        MemoryPolicy(precision=name).dtype(CUDA)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"precision": "fp16"}, "memory.precision=fp16 overflows .* use memory=bf16"),
        (
            {"precision": "int3"},
            "memory.precision=int3 is unknown; choose one of auto, fp32, bf16, int8, fp8, nf4$",
        ),
        ({"products": "fast"}, "memory.products=fast is unknown; choose one of auto, low_bit, exact$"),
        (
            {"checkpointing": "some"},
            "memory.checkpointing=some is unknown; choose one of auto, full, selective, none$",
        ),
        ({"compile": "maybe"}, "memory.compile=maybe is unknown; choose one of auto, true, false$"),
        (
            {"attention": "paged"},
            "memory.attention=paged is unknown; choose one of auto, cudnn, flash, efficient, math$",
        ),
        ({"offload_blocks": 2}, r"memory.offload_blocks=2 is outside \[0, 1\]: it is a share of the blocks"),
        ({"offload_blocks": -0.1}, r"memory.offload_blocks=-0.1 is outside \[0, 1\]"),
        (
            {"offload_activations": True, "checkpointing": "none"},
            "memory.offload_activations=true needs memory.checkpointing=full or selective",
        ),
        (
            {"products": "exact", "precision": "bf16"},
            "memory.products=exact has no effect with memory.precision=bf16",
        ),
        (
            {"products": "low_bit", "precision": "nf4"},
            "memory.products=low_bit has no effect with memory.precision=nf4",
        ),
        ({"budget_gib": 0}, "memory.budget_gib=0 must be above 0; null is what is free on the card"),
        ({"budget_gib": float("nan")}, "memory.budget_gib=nan must be above 0"),
        (
            {"budget_gib": 14, "precision": "int8"},
            "memory.budget_gib=14 has no effect with memory.precision=int8; use memory=auto",
        ),
    ],
)
def test_what_cannot_be_is_said_with_the_key_and_the_value(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        MemoryPolicy(**arguments)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(UserError) as caught:
        MemoryPolicy(precision="int3", checkpointing="none", offload_activations=True, offload_blocks=2)

    assert str(caught.value).count("\n  - ") == 3


def test_on_a_cpu_what_was_left_open_is_decided_for_exactness() -> None:
    assert MemoryPolicy().on(CPU) == Placement(CPU, torch.float32)
    assert MemoryPolicy(precision="int8").on(CPU) == Placement(CPU, torch.bfloat16, kind="int8")
    assert MemoryPolicy(precision="fp8", products="low_bit").on(CPU).low_bit


def test_activations_that_wait_in_main_memory_are_of_checkpointed_blocks() -> None:
    assert MemoryPolicy(offload_activations=True).on(CPU).checkpointing == "selective"
    assert MemoryPolicy(offload_activations=True, checkpointing="full").on(CPU).checkpointing == "full"


@pytest.mark.parametrize(
    ("kind", "capability", "able"),
    [
        ("int8", (7, 5), False),
        ("int8", (8, 0), True),
        ("fp8", (8, 6), False),
        ("fp8", (8, 9), True),
        ("nf4", (9, 0), False),
    ],
)
def test_products_are_taken_in_the_format_where_the_card_can(
    kind: str, capability: tuple[int, int], able: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)

    placed = MemoryPolicy(precision=kind).on(CUDA)

    assert placed.low_bit == able
    assert (placed.kind, placed.dtype, placed.checkpointing) == (kind, torch.bfloat16, "selective")
    if kind != "nf4":
        assert not MemoryPolicy(precision=kind, products="exact").on(CUDA).low_bit


def test_a_card_without_tensor_cores_for_a_format_is_told_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 6))

    with pytest.raises(
        UserError, match=r"memory.products=low_bit: .* no tensor cores for fp8; use memory.products=exact"
    ):
        MemoryPolicy(precision="fp8", products="low_bit").on(CUDA)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "float32; checkpointing none"),
        ({"kind": "int8"}, "int8, read back for products; checkpointing none"),
        (
            {"kind": "fp8", "low_bit": True, "checkpointing": "full", "compile": True},
            "fp8, products in it; checkpointing full; compiled blocks",
        ),
        (
            {"offload_blocks": 0.5, "offload_activations": True, "checkpointing": "full"},
            "float32; checkpointing full; 50% of the blocks in main memory; activations in main memory",
        ),
    ],
)
def test_a_placement_says_in_a_line_what_is_done(fields: dict[str, Any], words: str) -> None:
    assert Placement(CPU, torch.float32, **fields).described() == words


def test_the_log_says_how_blocks_are_run(caplog: pytest.LogCaptureFixture) -> None:
    placement = Placement(CPU, torch.float32, offload_blocks=0.5)

    with caplog.at_level(logging.INFO, logger="loralab.memory.placement"):
        placement.apply(klein_transformer().requires_grad_(False))

    said = "memory: float32; checkpointing none; 50% of the blocks in main memory; 2 of 5 blocks are swapped"
    assert said in caplog.messages


def test_the_peak_of_a_process_covers_what_it_has_held() -> None:
    before = peak_memory_gib(CPU)

    held = torch.ones(2**28)  # 1 GiB
    after = peak_memory_gib(CPU)

    assert after >= held.nbytes / 2**30
    assert before <= after < 64
