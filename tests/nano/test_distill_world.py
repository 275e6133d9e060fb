"""A distillation's world is the pipeline's: same embeddings, same guidance, same folder but for the transformer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from loralab.data.emoji.varied import draw_varied
from loralab.errors import UserError
from loralab.flow import few_step_sigmas
from loralab.nano.distill_command import run
from loralab.nano.distill_recipe import Recipe
from loralab.nano.distill_world import World
from loralab.nano.words import build_tokenizer
from loralab.nano.zimage_bank import encode_pixels, pictures
from loralab.nano.zimage_parts import TRANSFORMER, build_text_encoder, build_vae, scheduler
from loralab.nano.zimage_vae import normalise


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base whose transformer is small and all random, as a diffusers folder."""
    from diffusers import ZImagePipeline, ZImageTransformer2DModel

    torch.manual_seed(2)
    folder = tmp_path_factory.mktemp("distill") / "zimage_base"
    vae = build_vae()
    transformer = ZImageTransformer2DModel(
        **TRANSFORMER | {"dim": 64, "n_layers": 1, "n_heads": 1, "n_kv_heads": 1}
    )
    normalise(vae, encode_pixels(vae, pictures([draw_varied(0, index=index) for index in range(32)])))
    for parameter in transformer.parameters():
        nn.init.normal_(parameter, std=0.1)
    ZImagePipeline(
        scheduler=scheduler("base"),
        vae=vae,
        text_encoder=build_text_encoder(),
        tokenizer=build_tokenizer(),
        transformer=transformer,
    ).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("guidance_scale", [0.0, 1.5])
def test_a_world_draws_the_latents_and_the_pixels_that_its_pipeline_draws(base: Path, guidance_scale: float):
    from diffusers import ZImagePipeline

    world = World(base, batch_size=2, compiled=False)
    shown = world.shown(7, count=3)
    pipeline = ZImagePipeline.from_pretrained(base)
    pipeline.set_progress_bar_config(disable=True)

    ours = world.sample(
        world.base, shown, sigmas=few_step_sigmas(3, shift=world.shift), guidance_scale=guidance_scale
    )
    asked = {
        "height": 64, "width": 64, "num_inference_steps": 3, "guidance_scale": guidance_scale,
        "latents": shown.noise,
    }  # fmt: skip
    theirs = pipeline(prompt=list(shown.captions), output_type="latent", **asked).images
    pixels = pipeline(prompt=list(shown.captions), output_type="pt", **asked).images

    assert len(shown.captions) == len(shown.pixels) == 4
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(world.decode(ours) / 2 + 0.5, pixels, atol=1e-3, rtol=0)


def test_encoding_is_that_of_the_banks_and_decoding_leads_back_near_the_picture(base: Path):
    world = World(base, batch_size=4, compiled=False)
    shown = world.shown(8, count=4)

    latents = world.encode(shown.pixels)

    drawn = pictures([draw_varied(8, index=index) for index in range(4)])
    torch.testing.assert_close(latents, encode_pixels(world._vae, drawn))
    assert latents.shape[1:] == world.latents_shape
    assert (world.decode(latents) - shown.pixels).abs().mean() < 0.2


def test_some_training_captions_begin_with_a_word_that_means_nothing(base: Path):
    world = World(base, batch_size=2, compiled=False)

    text = world.training_captions(34)

    plain = world.embed([draw_varied(0, index=index).caption for index in range(34)])
    longer = (text.lengths - plain.lengths).nonzero().flatten().tolist()
    assert longer == [0, 32]


def test_a_base_that_is_no_folder_is_told(tmp_path: Path):
    with pytest.raises(UserError, match="is not a diffusers folder"):
        World(tmp_path / "nothing", batch_size=2, compiled=False)


@pytest.mark.slow
def test_the_command_leaves_a_pipeline_with_the_bases_parts_and_says_whether_it_is_valid(
    base: Path, tmp_path: Path
):
    from diffusers import ZImagePipeline

    out, folder = tmp_path / "out", tmp_path / "zimage_turbo"
    settings = {
        "base": base, "out": out, "folder": folder, "batch_size": 4, "warm_minutes": 0.02, "num_pairs": 8,
        "recipe": Recipe(alpha=1.5, student_lr=1e-4, fake_lr=3e-4, fake_updates=1, warm_lr=4e-4, coupled=0.25),
        "guidance_scale": 1.5, "watch_every_s": 1.0, "num_pictures": 4,
        "num_captions": 64, "compiled": False,
    }  # fmt: skip

    run(minutes=0.05, resume=False, validity=True, **settings)
    with pytest.raises(UserError, match="add --resume"):
        run(minutes=0.1, resume=False, validity=False, **settings)

    assert not any("_name_or_path" in path.read_text("utf-8") for path in folder.rglob("*.json"))
    turbo, before = (ZImagePipeline.from_pretrained(each) for each in (folder, base))
    assert turbo.scheduler.config.shift == 3.0
    for name in ("vae", "text_encoder"):
        kept, expected = getattr(turbo, name).state_dict(), getattr(before, name).state_dict()
        for key, value in expected.items():
            torch.testing.assert_close(kept[key].float(), value.float(), atol=1e-3, rtol=1e-2)
    assert json.loads((out / "validity.json").read_text())["verdict"]["valid"] in (True, False)
    assert (out / "validity.png").stat().st_size > 1000
    rows = [json.loads(line) for line in (out / "distill_log.jsonl").read_text().splitlines()]
    assert "base" in rows[0]
    assert "watched" in rows[-1]
