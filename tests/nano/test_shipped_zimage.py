"""The shipped Z-Image twins draw what they are told, Turbo in eight steps without guidance."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.utils import instantiate
from safetensors import safe_open

from loralab.cli.compose import composed_run
from loralab.config import model_arguments
from loralab.data.emoji.spec import EmojiSpec
from loralab.evaluation.distribution import laplacian_energy
from loralab.nano import score_zimage
from loralab.nano.__main__ import TURBO, ZIMAGE
from loralab.nano.zimage_draw import Twin, draw, load_twin
from loralab.objectives.distribution.assistant import assistant_file


@pytest.fixture(scope="module")
def base() -> Twin:
    return load_twin(ZIMAGE)


@pytest.fixture(scope="module")
def turbo() -> Twin:
    return load_twin(TURBO)


@pytest.mark.parametrize("folder", [ZIMAGE, TURBO])
def test_a_folder_has_at_most_16_mib(folder: Path):
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]

    assert sizes
    assert sum(sizes) <= 16 * 2**20


@pytest.mark.parametrize("folder", [ZIMAGE, TURBO])
def test_no_file_says_on_which_machine_it_was_made(folder: Path):
    texts = [path.read_text("utf-8") for path in folder.rglob("*.json")]

    assert texts
    assert not any("_name_or_path" in text for text in texts)


def test_turbo_draws_plain_captions_as_their_emoji_in_eight_steps(turbo: Twin):
    score = score_zimage.score_retrieval(turbo, limit=16, num_steps=8, guidance_scale=0.0)

    assert score.share >= 0.8
    assert score.interval[0] > 10 * score.chance


def test_turbo_draws_backgrounds_never_seen_with_an_emoji(turbo: Twin):
    score = score_zimage.score_attribute(turbo, "background", limit=12, num_steps=8, guidance_scale=0.0)

    assert score.share >= 0.8


def test_in_eight_unguided_steps_turbo_is_sharper_than_its_base(base: Twin, turbo: Twin):
    captions = [EmojiSpec(name=name).caption for name in ("crab", "owl", "fox face", "sunflower")] * 4
    sampling = {"num_steps": 8, "guidance_scale": 0.0, "shift": 3.0}

    blurred, sharp = (laplacian_energy(draw(twin, captions, **sampling)).mean() for twin in (base, turbo))

    assert sharp > 1.1 * blurred


def test_the_shipped_assistant_belongs_to_the_shipped_turbo():
    config = composed_run(["model=nano_zimage_turbo"])
    turbo = instantiate(model_arguments(config))

    with safe_open(assistant_file(config.objective.assistant), "pt") as file:
        metadata = file.metadata()

    assert metadata["loralab.base_digest"] == turbo.identity().base_digest
    assert metadata["loralab.checkpoint"] == config.model.checkpoint


def test_the_twins_differ_in_nothing_but_transformer_and_schedule(base: Twin, turbo: Twin):
    assert (base.shift, turbo.shift) == (6.0, 3.0)
    for name in ("vae", "text_encoder"):
        one, other = (getattr(twin, name).state_dict() for twin in (base, turbo))
        assert all((one[key] == value).all() for key, value in other.items())
