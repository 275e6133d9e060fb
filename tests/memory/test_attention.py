"""Our attention is diffusers', whichever backend computes it."""

from __future__ import annotations

import pytest
import torch
from tests.adapter.twins import KLEIN, ZIMAGE, Twin
from tests.memory.held import CPU, PROCESSORS, error
from torch import Tensor
from torch.nn import functional

from loralab.families.z_image.attention import rotated
from loralab.memory.attention import BACKENDS, Processor, attend, fastest, use_fastest

SHAPE = (2, 9, 3, 16)


def operands() -> tuple[list[Tensor], Tensor]:
    leaves = [torch.randn(SHAPE, requires_grad=True) for _ in range(3)]
    return leaves, torch.randn(SHAPE)


def mask() -> Tensor:
    kept = torch.ones(2, 1, 1, 9, dtype=torch.bool)
    kept[1, ..., 5:] = False
    return kept


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("backend", [None, "math", "flash"])
def test_attention_and_its_gradients_are_the_formulas(backend: str | None, masked: bool) -> None:
    leaves, gradient = operands()
    shut_out = mask() if masked else None

    y = attend(*leaves, mask=shut_out, backend=backend)
    found = torch.autograd.grad(y, leaves, gradient)

    query, key, value = (leaf.transpose(1, 2) for leaf in leaves)
    scores = query @ key.transpose(-1, -2) / 4  # the root of 16
    scores = scores if shut_out is None else scores.masked_fill(~shut_out, -torch.inf)
    expected = (scores.softmax(-1) @ value).transpose(1, 2)
    torch.testing.assert_close(y, expected, atol=1e-6, rtol=1e-5)
    for one, other in zip(found, torch.autograd.grad(expected, leaves, gradient), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_left_to_torch_attention_is_torchs_bit_for_bit() -> None:
    leaves, _ = operands()

    expected = functional.scaled_dot_product_attention(*(leaf.transpose(1, 2) for leaf in leaves))

    assert torch.equal(attend(*leaves), expected.transpose(1, 2))


def test_of_a_single_key_the_answer_is_its_value_whichever_backend() -> None:
    """As cuDNN refuses one key, and a modality that is absent is one token."""
    query, key, value = (
        torch.randn(SHAPE),
        torch.randn(2, 1, 3, 16),
        torch.randn(2, 1, 3, 16, requires_grad=True),
    )

    y = attend(query, key, value, backend="cudnn")  # which a CPU has not

    torch.testing.assert_close(y, attend(query, key, value, mask=torch.ones(2, 1, 1, 1, dtype=torch.bool)))
    assert torch.equal(torch.autograd.grad(y.sum(), value)[0], torch.full_like(value, SHAPE[1]))


def answer_with_masks(transformer: torch.nn.Module) -> Tensor:
    """What a Z-Image transformer says to prompts of such different lengths that a mask is needed."""
    noisy = [torch.randn(16, 1, 8, 8) for _ in range(2)]
    captions = [torch.randn(length, 16) for length in (40, 7)]
    return torch.stack(transformer(noisy, torch.tensor([0.3, 0.8]), captions, return_dict=False)[0])


@pytest.mark.parametrize("backend", [None, "math"])
@pytest.mark.parametrize("twin", [KLEIN, ZIMAGE], ids=lambda twin: twin.name)
def test_with_our_processors_a_transformer_answers_as_with_diffusers_own(
    twin: Twin, backend: str | None
) -> None:
    theirs, ours = twin.base(), PROCESSORS[twin.name](twin.base())
    if backend is not None:
        use_fastest(ours, backend, device=CPU)

    velocity = twin.velocity(ours)

    assert all(
        isinstance(module.processor, Processor) and module.processor.backend == backend
        for module in ours.modules()
        if "processor" in vars(module)
    )
    torch.testing.assert_close(velocity, twin.velocity(theirs), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("backend", [None, "math"])
def test_masked_prompts_are_attended_to_as_by_diffusers_own(backend: str | None) -> None:
    theirs, ours = ZIMAGE.base(), PROCESSORS[ZIMAGE.name](ZIMAGE.base())
    if backend is not None:
        use_fastest(ours, backend, device=CPU)

    found = []
    for transformer in (theirs, ours):
        torch.manual_seed(0)
        with torch.no_grad():
            found.append(answer_with_masks(transformer))

    torch.testing.assert_close(found[1], found[0], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_real_rotation_is_the_complex_one(dtype: torch.dtype) -> None:
    x, angles = torch.randn(2, 9, 3, 16).to(dtype), torch.rand(2, 9, 8) * 6.28
    rotation = torch.polar(torch.ones_like(angles), angles)

    turned = rotated(x, torch.view_as_real(rotation))

    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    expected = torch.view_as_real(pairs * rotation.unsqueeze(2)).flatten(3)
    assert turned.dtype == dtype
    torch.testing.assert_close(turned, expected.to(dtype))


def test_on_a_cpu_the_choice_is_torchs() -> None:
    transformer = PROCESSORS[KLEIN.name](KLEIN.base())

    use_fastest(transformer, "auto", device=CPU)

    assert transformer.transformer_blocks[0].attn.processor.backend is None


def test_a_transformer_with_other_processors_is_left_alone() -> None:
    transformer = KLEIN.base()
    before = KLEIN.velocity(transformer)

    use_fastest(transformer, "math", device=CPU)

    assert torch.equal(KLEIN.velocity(transformer), before)


@pytest.mark.gpu
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("head_dim", [16, 128])
def test_the_fastest_backend_of_a_gpu_is_right(head_dim: int, masked: bool) -> None:
    device = torch.device("cuda")
    query, key, value = (torch.randn(2, 320, 4, head_dim, device=device) for _ in range(3))
    kept = torch.ones(2, 1, 1, 320, dtype=torch.bool, device=device)
    kept[1, ..., 160:] = False

    name = fastest(device, num_heads=4, head_dim=head_dim, masked=masked)

    gradient = torch.randn(2, 4, 320, head_dim, device=device).bfloat16().transpose(1, 2)
    leaves = [operand.bfloat16().requires_grad_() for operand in (query, key, value)]
    y = attend(*leaves, mask=kept if masked else None, backend=name)
    exact_leaves = [leaf.detach().float().requires_grad_() for leaf in leaves]
    exact = attend(*exact_leaves, mask=kept if masked else None, backend="math")
    pairs = zip(
        torch.autograd.grad(y, leaves, gradient),
        torch.autograd.grad(exact, exact_leaves, gradient.float()),
        strict=True,
    )
    assert name in BACKENDS
    assert error(y, exact) < 0.02
    assert all(error(one, other) < 0.02 for one, other in pairs)
