from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.adapter import foreign
from tests.adapter.twins import KLEIN, METADATA, ZIMAGE, Twin, load_with_diffusers

from loralab.adapter import (
    AttachedAdapter,
    adapter_parameters,
    adapter_state,
    attach,
    attached,
    detach,
    disabled,
    export_adapter,
    update_norms,
)
from loralab.adapter.layers import linear_layers, tuner_layers
from loralab.errors import UserError

DIFFUSERS_READS = [
    (KLEIN, foreign.diffusers),
    (KLEIN, foreign.original_baked),
    (KLEIN, foreign.original_kohya),
    (ZIMAGE, foreign.diffusers),
    (ZIMAGE, foreign.comfy),
    (ZIMAGE, foreign.kohya),
]


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    return export_adapter(
        KLEIN.trained(), tmp_path / "ours.safetensors", prefix="transformer.", metadata=METADATA
    )


@pytest.mark.parametrize("write", foreign.WRITERS, ids=lambda write: write.__name__)
def test_files_of_other_tools_give_the_velocity_of_the_adapter_they_hold(twin: Twin, write, tmp_path: Path):
    transformer = twin.trained()
    foreign.tie_fused(twin, transformer)
    write(twin, transformer, tmp_path / "adapter_model.safetensors")
    fresh = twin.base()

    found = attach(fresh, tmp_path / "adapter_model.safetensors", foreign_names=twin.foreign_names)

    torch.testing.assert_close(twin.velocity(fresh), twin.velocity(transformer), atol=1e-6, rtol=0)
    assert found == AttachedAdapter(num_modules=len(update_norms(transformer)), rank=4, metadata=None)


@pytest.mark.parametrize(
    ("twin", "write"), DIFFUSERS_READS, ids=lambda part: getattr(part, "name", None) or part.__name__
)
def test_diffusers_reads_these_files_of_other_tools_as_we_do(twin: Twin, write, tmp_path: Path):
    transformer = twin.trained()
    foreign.tie_fused(twin, transformer)
    write(twin, transformer, tmp_path / "theirs.safetensors")

    theirs = load_with_diffusers(twin, tmp_path / "theirs.safetensors")

    torch.testing.assert_close(twin.velocity(theirs), twin.velocity(transformer), atol=1e-6, rtol=0)


def test_our_own_file_comes_back_with_its_metadata(ours: Path):
    found = attach(KLEIN.base(), ours, foreign_names=KLEIN.foreign_names)

    assert found.metadata == METADATA


def test_layers_may_differ_in_rank_and_alpha(twin: Twin, tmp_path: Path):
    transformer = twin.trained(targets="attention")
    generator = torch.Generator().manual_seed(3)
    tensors, merged = {}, twin.base()
    for number, name in enumerate(update_norms(transformer)):
        weight = merged.get_submodule(name).weight
        rank = 1 + number % 3
        a = torch.randn(rank, weight.shape[1], generator=generator)
        b = torch.randn(weight.shape[0], rank, generator=generator)
        tensors |= {
            f"{name}.lora_down.weight": a,
            f"{name}.lora_up.weight": b,
            f"{name}.alpha": torch.tensor(0.3),
        }
        weight.data += 0.3 / rank * b @ a
    save_file(tensors, tmp_path / "a.safetensors")
    fresh = twin.base()

    found = attach(fresh, tmp_path / "a.safetensors", foreign_names=twin.foreign_names)

    torch.testing.assert_close(twin.velocity(fresh), twin.velocity(merged), atol=1e-5, rtol=0)
    assert found.rank == 3


def test_half_precision_files_are_read_in_fp32(twin: Twin, tmp_path: Path):
    foreign.comfy(twin, twin.trained(), tmp_path / "a.safetensors")
    half = {key: tensor.bfloat16() for key, tensor in load_file(tmp_path / "a.safetensors").items()}
    save_file(half, tmp_path / "half.safetensors")
    fresh = twin.base(torch.bfloat16)

    attach(fresh, tmp_path / "half.safetensors", foreign_names=twin.foreign_names)

    assert {tensor.dtype for tensor in adapter_state(fresh, name="loaded").values()} == {torch.float32}
    with disabled(fresh):
        base = twin.velocity(fresh)
    assert not torch.equal(twin.velocity(fresh), base)


def test_no_two_layers_share_a_name_once_dots_are_underscores(twin: Twin):
    names = list(linear_layers(twin.base()))

    assert len({name.replace(".", "_") for name in names}) == len(names) > 20


def test_detaching_the_only_adapter_leaves_the_bare_base(ours: Path):
    transformer = KLEIN.base()
    attach(transformer, ours, foreign_names=KLEIN.foreign_names)

    detach(transformer)

    assert torch.equal(KLEIN.velocity(transformer), KLEIN.velocity(KLEIN.base()))
    assert not tuner_layers(transformer)


def test_a_file_is_lent_during_training_and_training_goes_on_as_before(ours: Path):
    transformer = KLEIN.trained(seed=9)
    own = KLEIN.velocity(transformer)
    fresh = KLEIN.base()
    attach(fresh, ours, foreign_names=KLEIN.foreign_names)

    with attached(transformer, ours, foreign_names=KLEIN.foreign_names) as found:
        lent = KLEIN.velocity(transformer)
        trainable = [parameter for parameter in transformer.parameters() if parameter.requires_grad]

    assert found.num_modules == 30
    assert torch.equal(lent, KLEIN.velocity(fresh))
    assert not trainable
    assert torch.equal(KLEIN.velocity(transformer), own)
    assert all(parameter.requires_grad for parameter in adapter_parameters(transformer))


def test_a_file_that_cannot_be_lent_leaves_training_as_it_was(tmp_path: Path):
    transformer = KLEIN.trained()
    own = KLEIN.velocity(transformer)

    with (
        pytest.raises(UserError),
        attached(transformer, tmp_path / "no.safetensors", foreign_names=KLEIN.foreign_names),
    ):
        pass

    assert torch.equal(KLEIN.velocity(transformer), own)
    assert all(parameter.requires_grad for parameter in adapter_parameters(transformer))


def test_an_adapter_of_the_other_family_adapts_nothing(ours: Path):
    with pytest.raises(UserError, match=r"adapts nothing here: 30 of its 30 modules.*transformer_blocks\.0"):
        attach(ZIMAGE.base(), ours, foreign_names=ZIMAGE.foreign_names)


def test_an_empty_file_adapts_nothing(tmp_path: Path):
    save_file({}, tmp_path / "a.safetensors")

    with pytest.raises(UserError, match="adapts nothing here: it is empty"):
        attach(KLEIN.base(), tmp_path / "a.safetensors", foreign_names=KLEIN.foreign_names)


def changed(path: Path, change) -> Path:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    return path


def test_modules_without_a_place_are_an_error_with_five_examples_and_the_count(ours: Path):
    def add(tensors):
        for n in range(7):
            tensors[f"text_encoder.layers.{n}.q.lora_A.weight"] = torch.ones(1, 2)
            tensors[f"text_encoder.layers.{n}.q.lora_B.weight"] = torch.ones(2, 1)

    with pytest.raises(UserError, match=r"fits only in part: 7 of its 37 modules") as caught:
        attach(KLEIN.base(), changed(ours, add), foreign_names=KLEIN.foreign_names)
    assert str(caught.value).count("text_encoder") == 5


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ('{"transformer.lora_alpha": "much"}', "lora_alpha='much', which is not a number"),
        ('{"transformer.lora_alpha": 1, "transformer.alpha_pattern": {"(": 2}}', "no layer's name"),
        (
            '{"transformer.lora_alpha": 1, "transformer.alpha_pattern": {"(x+x+)+y": 2}}',
            "expressions are not read",
        ),
        ('{"transformer.lora_alpha": NaN}', "not a number"),
        ("[" * 100_000, "damaged"),
        ("[1, 2]", "declared configuration is damaged"),
        ("{", "declared configuration is damaged"),
    ],
)
def test_a_declared_scale_that_cannot_be_read_is_an_error(ours: Path, declared: str, message: str):
    save_file(load_file(ours), ours, {"lora_adapter_metadata": declared})

    with pytest.raises(UserError, match=message):
        attach(KLEIN.base(), ours, foreign_names=KLEIN.foreign_names)


def test_keys_of_no_known_form_are_an_error(ours: Path):
    with pytest.raises(UserError, match=r"1 of its 31 modules.*emb_params"):
        attach(
            KLEIN.base(),
            changed(ours, lambda tensors: tensors.update(emb_params=torch.ones(3))),
            foreign_names=KLEIN.foreign_names,
        )


LAYER = "transformer.single_transformer_blocks.0.attn.to_out"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(f"{LAYER}.lora_A.weight"), "has only b; A .down. and B .up. come in pairs"),
        (lambda t: t.update({f"{LAYER}.lora_A.weight": torch.ones(4, 9)}), "maps 9 to 32 features at rank 4"),
        (lambda t: t.update({f"{LAYER}.lora_B.weight": torch.ones(64, 4)}), "maps 128 to 64 features at rank 4"),
        (lambda t: t.update({f"{LAYER}.lora_B.weight": torch.ones(32, 5)}), r"must be \[rank, in\] and \[out, rank\]"),
        (lambda t: t.update({f"{LAYER}.lora_A.weight": torch.ones(4, 128).long()}), "int64, not floating point"),
        (lambda t: t.update({f"{LAYER}.lora_A.weight": torch.full((4, 128), torch.nan)}), "NaN or infinity"),
        (lambda t: t.update({f"{LAYER}.lora_{x}.weight": torch.ones(*shape)
                             for x, shape in (("A", (0, 128)), ("B", (32, 0)))}),
         r"must be \[rank, in\]"),
        (lambda t: t.update({f"{LAYER}.alpha": torch.ones(2)}), r"alpha is \(2,\), not one number"),
        (lambda t: t.update({f"{LAYER}.lora_A.other.weight": torch.ones(4, 128)}), "more than one adapter"),
        (lambda t: t.update({f"{LAYER}.dora_scale": torch.ones(32, 1)}), "LyCORIS form"),
        (lambda t: t.update({f"{LAYER}.lokr_w1": torch.ones(2, 2)}), "holds LoKr"),
        (lambda t: t.update({f"{LAYER}.hada_w1_a": torch.ones(2, 2)}), "holds LoHa"),
        (lambda t: t.update({f"{LAYER.removeprefix('transformer.')}.lora_A.weight": t[f"{LAYER}.lora_A.weight"] + 0,
                             f"{LAYER.removeprefix('transformer.')}.lora_B.weight": t[f"{LAYER}.lora_B.weight"] + 0}),
         "twice"),
        (lambda t: [tensor.zero_() for key, tensor in t.items() if "lora_B" in key], "changes nothing: B is zero"),
    ],
)  # fmt: skip
def test_tensors_that_cannot_be_meant_are_refused_by_name(ours: Path, change, message: str):
    with pytest.raises(UserError, match=message) as caught:
        attach(KLEIN.base(), changed(ours, change), foreign_names=KLEIN.foreign_names)
    assert str(ours) in str(caught.value)


@pytest.mark.parametrize("suffix", [".pt", ".bin", ".ckpt", ".pth"])
def test_pickles_are_refused_unread(tmp_path: Path, suffix: str):
    path = tmp_path / f"a{suffix}"
    torch.save({"x.lora_A.weight": torch.ones(1, 1)}, path)

    with pytest.raises(UserError, match="is a pickle, and loading a pickle runs"):
        attach(KLEIN.base(), path, foreign_names=KLEIN.foreign_names)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-100],
        lambda data: data[:300],
        lambda data: data[:4],
        lambda data: b"",
        lambda data: (10**6).to_bytes(8, "little") + data[8:],
        lambda data: data[:8] + b"\x80" + data[9:],
    ],
    ids=["cut", "cut in header", "cut in length", "empty", "long header", "no JSON"],
)
def test_a_damaged_file_is_said_to_be_incomplete(ours: Path, spoil):
    ours.write_bytes(spoil(ours.read_bytes()))

    with pytest.raises(UserError, match=r"ours\.safetensors is not a complete safetensors file"):
        attach(KLEIN.base(), ours, foreign_names=KLEIN.foreign_names)


def test_a_wrong_path_says_what_is_there(ours: Path):
    other = ours.with_name("notes.txt")
    other.write_text("hello")

    for path, message in (
        (ours.with_name("typo.safetensors"), "does not exist"),
        (ours.parent, r"is a folder; name a \.safetensors file \(ours\.safetensors\)"),
        (other, r"not a \.safetensors file"),
    ):
        with pytest.raises(UserError, match=message):
            attach(KLEIN.base(), path, foreign_names=KLEIN.foreign_names)


def test_a_refused_file_leaves_the_transformer_bare(ours: Path):
    transformer = KLEIN.base()

    with pytest.raises(UserError):
        attach(
            transformer,
            changed(ours, lambda tensors: tensors.popitem()),
            foreign_names=KLEIN.foreign_names,
        )

    assert not tuner_layers(transformer)
