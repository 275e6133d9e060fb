from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.data.pictures import dataset, draw, draw_set
from tests.data.pooling import PoolingEncoders

from loralab.data import encode
from loralab.data.images import fit_to, load_picture
from loralab.errors import UserError


def test_prompts_come_first_and_each_encoder_is_freed_after_its_part(tmp_path: Path) -> None:
    encoders = PoolingEncoders()

    encode(dataset(draw_set(tmp_path / "set")).collect(16), encoders)

    assert encoders.calls == ["prompts", "release text_encoder", "pixels", "release vae"]
    assert set(encoders.prompts_seen) == {"", *(f"picture {number}" for number in range(6))}


def test_a_full_cache_needs_no_encoder(tmp_path: Path) -> None:
    root, second = draw_set(tmp_path / "set"), PoolingEncoders()
    encode(dataset(root, flip=True).collect(16), PoolingEncoders())

    encoded = encode(dataset(root, flip=True).collect(16), second)

    assert second.calls == []
    assert encoded.summary()["prompts_encoded"] == encoded.summary()["latents_encoded"] == 0


def test_only_a_new_file_is_encoded(tmp_path: Path) -> None:
    root, second = draw_set(tmp_path / "set"), PoolingEncoders()
    encode(dataset(root).collect(16), PoolingEncoders())
    draw(root / "new.png", seed=99, caption="new")

    encoded = encode(dataset(root).collect(16), second)

    assert second.prompts_seen == ["new"]
    assert second.batches_seen == [(1, 3, 64, 64)]
    assert encoded.summary()["latents_encoded"] == 1


def test_another_encoder_encodes_again_and_never_mixes(tmp_path: Path) -> None:
    root = draw_set(tmp_path / "set")
    encode(dataset(root).collect(16), PoolingEncoders())
    other_text, other_pixels = PoolingEncoders(text="text-2"), PoolingEncoders(pixels="pixels-2")

    encode(dataset(root).collect(16), other_text)
    encode(dataset(root).collect(16), other_pixels)

    assert other_text.calls == ["prompts", "release text_encoder"]
    assert other_pixels.calls == ["pixels", "release vae"]


def test_another_trigger_encodes_prompts_only(tmp_path: Path) -> None:
    root, second = draw_set(tmp_path / "set"), PoolingEncoders()
    encode(dataset(root).collect(16), PoolingEncoders())

    encode(dataset(root, trigger="sks").collect(16), second)

    assert second.calls == ["prompts", "release text_encoder"]
    assert all(prompt.startswith("sks, ") for prompt in second.prompts_seen)


def test_a_damaged_file_is_encoded_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root, second = draw_set(tmp_path / "set"), PoolingEncoders()
    encode(dataset(root).collect(16), PoolingEncoders())
    damaged = next((tmp_path / "cache" / "latents").rglob("*.safetensors"))
    damaged.write_bytes(damaged.read_bytes()[:-1])

    encoded = encode(dataset(root).collect(16), second)

    assert second.batches_seen == [(1, 3, 64, 64)]
    assert str(damaged) in caplog.text
    assert len(list(encoded.loader(micro_batch_size=2, num_micro_steps=3, seed=0))) == 3


def test_latents_are_those_of_the_fitted_picture_and_of_its_mirror_image(tmp_path: Path) -> None:
    path = draw(tmp_path / "set" / "a.png", width=80, height=64, caption="x")
    encoded = encode(dataset(path.parent, flip=True).collect(16), PoolingEncoders())
    pixels = fit_to(load_picture(path), height=64, width=64)

    seen = {batch.latents for batch in encoded.loader(micro_batch_size=1, num_micro_steps=12, seed=0)}

    expected = [torch.nn.functional.avg_pool2d(side[None], 8) for side in (pixels, pixels.flip(-1))]
    assert all(any(torch.equal(latents, wanted) for wanted in expected) for latents in seen)
    assert all(any(torch.equal(latents, wanted) for latents in seen) for wanted in expected)


def test_prompt_embeddings_keep_their_length_and_precision(tmp_path: Path) -> None:
    encoded = encode(
        dataset(draw_set(tmp_path / "set")).collect(16), PoolingEncoders(), extra_prompts=["a preview"]
    )

    assert encoded.prompt_embeds("").shape == (1, 2)
    assert encoded.prompt_embeds("a preview").shape == (10, 2)
    assert encoded.prompt_embeds("picture 3").dtype == torch.bfloat16


def test_prompts_of_one_length_are_stacked_and_others_stay_apart(tmp_path: Path) -> None:
    draw(tmp_path / "alike" / "a.png", seed=1, caption="one")
    draw(tmp_path / "alike" / "b.png", seed=2, caption="two")
    draw(tmp_path / "unlike" / "a.png", seed=1, caption="one")
    draw(tmp_path / "unlike" / "b.png", seed=2, caption="three")
    encoders = PoolingEncoders()

    (alike,), (unlike,) = (
        encode(dataset(tmp_path / name).collect(16), encoders).loader(
            micro_batch_size=2, num_micro_steps=1, seed=0
        )
        for name in ("alike", "unlike")
    )

    assert isinstance(alike.prompt_embeds, torch.Tensor)
    assert alike.prompt_embeds.shape == (2, 4, 2)
    assert isinstance(unlike.prompt_embeds, list)
    assert {len(embeds) for embeds in unlike.prompt_embeds} == {4, 6}
    for batch in (alike, unlike):
        for embeds, caption in zip(batch.prompt_embeds, batch.captions, strict=True):
            assert torch.equal(embeds, encoders.encode_prompts([caption])[0])


def test_large_pictures_are_encoded_in_pieces(tmp_path: Path) -> None:
    encoders = PoolingEncoders()
    for grey in range(5):
        Image.new("L", (1024, 1024), grey).save(tmp_path / f"{grey}.png")

    encode(dataset(tmp_path, resolutions=1024, caption="grey").collect(16), encoders)

    assert [shape[0] for shape in encoders.batches_seen] == [2, 2, 1]


class ForgetfulEncoders(PoolingEncoders):
    """Has memory for one picture only."""

    def encode_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        if len(pixels) > 1:
            raise torch.OutOfMemoryError
        return super().encode_pixels(pixels)


def test_where_the_memory_does_not_suffice_the_pieces_are_halved(tmp_path: Path) -> None:
    encoders = ForgetfulEncoders()

    encode(dataset(draw_set(tmp_path / "set", count=5)).collect(16), encoders)

    assert [shape[0] for shape in encoders.batches_seen] == [1, 1, 1, 1, 1]


class BrokenEncoders(PoolingEncoders):
    """Overflows."""

    def encode_pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        return super().encode_pixels(pixels) / 0


def test_latents_that_are_not_finite_are_refused_with_the_path_and_the_vae_is_freed(tmp_path: Path) -> None:
    root, encoders = draw_set(tmp_path / "set", count=1), BrokenEncoders()

    with pytest.raises(UserError, match=r"NaN or Inf for .*p0\.png"):
        encode(dataset(root).collect(16), encoders)

    assert encoders.calls[-1] == "release vae"


def test_a_picture_that_changed_since_it_was_checked_is_refused(tmp_path: Path) -> None:
    root = draw_set(tmp_path / "set", count=1)
    collection = dataset(root).collect(16)
    draw(root / "p0.png", seed=77)

    with pytest.raises(UserError, match=r"p0\.png was changed while the run was starting"):
        encode(collection, PoolingEncoders())


def test_an_unwritable_cache_is_noticed_before_encoding(tmp_path: Path) -> None:
    root, encoders = draw_set(tmp_path / "set"), PoolingEncoders()
    (tmp_path / "file").write_text("not a folder")

    with pytest.raises(UserError, match=r"dataset\.cache_root=.*file cannot be written"):
        encode(dataset(root, cache_root=tmp_path / "file").collect(16), encoders)

    assert encoders.calls == []


def test_masks_weigh_the_loss_inside_and_outside(tmp_path: Path) -> None:
    root = draw_set(tmp_path / "set", count=2)
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (0, 0, 16, 64))
    mask.save(root / "p0.mask.png")
    settings = {"masked_loss": "file", "unmasked_weight": 0.25, "flip": True}
    encoded = encode(dataset(root, **settings).collect(16), PoolingEncoders())
    left = torch.full((1, 8, 8), 0.25)
    left[..., :2] = 1.0

    masks = {}
    for batch in encoded.loader(micro_batch_size=1, num_micro_steps=40, seed=0):
        assert batch.mask is not None
        masks.setdefault(batch.captions[0], []).append(batch.mask[0])

    assert all(torch.equal(mask, torch.ones(1, 8, 8)) for mask in masks["picture 1"])
    assert all(torch.equal(mask, left) or torch.equal(mask, left.flip(-1)) for mask in masks["picture 0"])
    assert len({tuple(mask.flatten().tolist()) for mask in masks["picture 0"]}) == 2


def test_the_alpha_channel_serves_as_mask(tmp_path: Path) -> None:
    root = draw_set(tmp_path / "set", count=1)
    picture = Image.open(root / "p0.png").convert("RGBA")
    picture.putalpha(Image.new("L", (64, 64), 51))
    picture.save(root / "p0.png")

    encoded = encode(dataset(root, masked_loss="alpha").collect(16), PoolingEncoders())

    (batch,) = encoded.loader(micro_batch_size=1, num_micro_steps=1, seed=0)
    assert batch.mask is not None
    assert torch.allclose(batch.mask, torch.tensor(0.2), atol=1e-6)


def test_validation_shows_every_picture_once_in_the_same_batches(tmp_path: Path) -> None:
    root = draw_set(tmp_path / "set", count=12)
    settings = {"validation_fraction": 0.5, "flip": True, "caption_dropout": 0.9, "trigger": "sks"}
    collection = dataset(root, **settings).collect(16)
    encoded = encode(collection, PoolingEncoders())

    batches = encoded.validation_batches(4)

    assert sorted(key for batch in batches for key in batch.keys) == sorted(
        r.key for r in collection.validation
    )
    assert all(caption.startswith("sks, ") for batch in batches for caption in batch.captions)
    assert [batch.index for batch in batches] == list(range(len(batches)))
    again = encode(dataset(root, **settings).collect(16), PoolingEncoders()).validation_batches(4)
    assert all(torch.equal(one.latents, two.latents) for one, two in zip(batches, again, strict=True))


def test_a_batch_moves_as_a_whole(tmp_path: Path) -> None:
    encoded = encode(dataset(draw_set(tmp_path / "set")).collect(16), PoolingEncoders())
    (batch,) = encoded.loader(micro_batch_size=2, num_micro_steps=1, seed=0)

    moved = batch.to("meta")

    assert {tensor.device.type for tensor in (moved.latents, moved.weight, *moved.prompt_embeds)} == {"meta"}
    assert (moved.captions, moved.keys, moved.index, len(moved)) == (
        batch.captions,
        batch.keys,
        batch.index,
        2,
    )
