"""Where the VAE finds too little memory, the transformer makes room and comes back; where that is no help, tiles do."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.tiny import save_klein
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from loralab.denoiser import Denoiser, Sampling
from loralab.families.flux2_klein import Flux2Klein
from loralab.families.shared import room
from loralab.families.z_image import ZImage
from loralab.memory import Placement

SAMPLING = Sampling(num_steps=4, guidance_scale=0.0, height=64, width=64)
CPU = torch.device("cpu")


class Crowd:
    """Makes the VAE's halves run out of memory a few times; knows where the transformer was when they did not."""

    def __init__(self, denoiser: Denoiser) -> None:
        self.failures = 0
        self.places: list[str] = []
        self._transformer = denoiser.transformer

    def __call__(self, module: nn.Module, inputs: object) -> None:
        if type(module).__name__ not in ("Encoder", "Decoder"):
            return
        if self.failures:
            self.failures -= 1
            raise torch.OutOfMemoryError("no memory for this picture")
        self.places.append(next(self._transformer.parameters()).device.type)


@pytest.fixture(params=["flux2_klein", "z_image"])
def denoiser(request: pytest.FixtureRequest, tiny_klein_folder: Path, tiny_zimage_folder: Path) -> Denoiser:
    if request.param == "flux2_klein":
        return Flux2Klein(name="tiny", checkpoint=str(tiny_klein_folder), sampling=SAMPLING)
    return ZImage(name="tiny", checkpoint=str(tiny_zimage_folder), sampling=SAMPLING)


@pytest.fixture
def crowd(denoiser: Denoiser) -> Iterator[Crowd]:
    made = Crowd(denoiser)
    handle = register_module_forward_pre_hook(made)
    yield made
    handle.remove()


def test_pictures_are_the_same_where_the_memory_runs_out(denoiser: Denoiser, crowd: Crowd) -> None:
    pixels = torch.rand(2, 3, 64, 64) * 2 - 1
    latents = denoiser.encode_pixels(pixels)
    pictures = denoiser.decode_latents(latents)

    crowd.failures = 1
    decoded = denoiser.decode_latents(latents)
    crowd.failures = 1
    encoded = denoiser.encode_pixels(pixels)

    assert torch.equal(decoded, pictures)
    assert torch.equal(encoded, latents)
    assert len(crowd.places) == 8
    assert crowd.failures == 0


def test_the_log_says_so_once(denoiser: Denoiser, crowd: Crowd, caplog: pytest.LogCaptureFixture) -> None:
    latents = torch.randn(3, *denoiser.latents_shape(height=64, width=64))
    room.say_once.cache_clear()

    with caplog.at_level(logging.INFO, logger="loralab.families.shared.room"):
        for _ in range(2):
            crowd.failures = 1
            denoiser.decode_latents(latents)

    assert [record.message.partition(" for ")[0] for record in caplog.records] == ["too little memory"]


def test_memory_that_does_not_suffice_even_so_is_an_error(denoiser: Denoiser, crowd: Crowd) -> None:
    latents = torch.randn(1, *denoiser.latents_shape(height=64, width=64))
    crowd.failures = 2 + len(room.TILES)

    with pytest.raises(torch.OutOfMemoryError, match="no memory for this picture"):
        denoiser.decode_latents(latents)


def test_a_picture_is_encoded_whole_or_not_at_all(denoiser: Denoiser, crowd: Crowd) -> None:
    crowd.failures = 2

    with pytest.raises(torch.OutOfMemoryError, match="no memory for this picture"):
        denoiser.encode_pixels(torch.zeros(1, 3, 64, 64))


@pytest.mark.parametrize(("too_large", "num_tiles"), [(576, 4), (512, 9)])
def test_where_a_whole_picture_does_not_fit_tiles_give_nearly_the_same_one(
    denoiser: Denoiser, too_large: int, num_tiles: int, caplog: pytest.LogCaptureFixture
) -> None:
    source = torch.Generator().manual_seed(0)
    latents = torch.randn(1, *denoiser.latents_shape(height=576, width=576), generator=source)
    latents = torch.cat([latents, latents.flip(-1)])
    whole = denoiser.decode_latents(latents)
    sides: list[int] = []

    def limited(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if type(module).__name__ == "Decoder":
            sides.append(8 * inputs[0].shape[-1])
            if sides[-1] >= too_large:
                raise torch.OutOfMemoryError

    room.say_once.cache_clear()
    handle = register_module_forward_pre_hook(limited)
    with caplog.at_level(logging.INFO, logger="loralab.families.shared.room"):
        tiled = denoiser.decode_latents(latents)
    handle.remove()

    assert tiled.shape == whole.shape and not torch.equal(tiled, whole)
    assert (tiled - whole).square().mean().sqrt() < 0.25 * whole.std()
    side = max(side for side in sides if side < too_large)
    assert len([each for each in sides if each < too_large]) == 2 * num_tiles
    assert f"tiles of {side} pixels" in caplog.records[-1].message
    assert torch.equal(denoiser.decode_latents(latents), whole)


def test_without_a_transformer_there_is_nothing_to_move(tiny_klein_folder: Path) -> None:
    denoiser = Flux2Klein(name="tiny", checkpoint=str(tiny_klein_folder), sampling=SAMPLING)
    latents = torch.randn(1, 16, 4, 4)

    def fail(module: nn.Module, inputs: object) -> None:
        raise torch.OutOfMemoryError

    denoiser.decode_latents(latents)
    handle = register_module_forward_pre_hook(fail)
    with pytest.raises(torch.OutOfMemoryError):
        denoiser.decode_latents(latents)
    handle.remove()


@pytest.mark.gpu
@pytest.mark.parametrize(("kind", "swapped"), [(None, 0.0), ("int8", 0.0), ("int8", 0.5)])
def test_on_a_gpu_the_transformer_is_away_for_the_picture_and_back_after_it(
    tmp_path: Path, kind: str | None, swapped: float
) -> None:
    denoiser = Flux2Klein(name="tiny", checkpoint=str(save_klein(tmp_path / "klein")), sampling=SAMPLING)
    denoiser.place(Placement(torch.device("cuda"), torch.bfloat16, kind=kind, offload_blocks=swapped))
    latents, crowd = torch.randn(2, 16, 4, 4), Crowd(denoiser)
    before = {name: tensor.clone() for name, tensor in denoiser.transformer.state_dict().items()}
    handle = register_module_forward_pre_hook(crowd)
    pictures = denoiser.decode_latents(latents)

    crowd.failures = 1
    again = denoiser.decode_latents(latents)

    handle.remove()
    assert crowd.places == ["cuda", "cuda", "cpu", "cpu"]
    assert torch.equal(again, pictures)
    after = denoiser.transformer.state_dict()
    assert {name: tensor.device for name, tensor in after.items()} == {
        name: tensor.device for name, tensor in before.items()
    }
    assert any(tensor.is_cuda for tensor in after.values())
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
