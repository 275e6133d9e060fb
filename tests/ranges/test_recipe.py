"""The files of `conf/experiment/`: complete, sourced, within the safe ranges, and read as they are meant."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest
from bench.configs import save_configs
from omegaconf import DictConfig, OmegaConf

from loralab.cli.compose import composed_run
from loralab.cli.plan import configured, plan_lines
from loralab.cli.recipe import composed_recipe, described, listed
from loralab.config import check
from loralab.errors import UserError
from loralab.planning import settle_without_pictures
from loralab.ranges.recipe import RECIPES, read_recipe, recipe_names

NAMES = recipe_names()
DOCUMENTED = {
    "flux2_klein9b_identity": {
        "optimizer.lr": 5e-5,
        "adapter.rank": 16,
        "adapter.alpha": 16,
        "steps": "auto",
    },
    "flux2_klein4b_style": {"optimizer.lr": 1e-4, "adapter.rank": 16, "adapter.alpha": 16, "steps": "auto"},
    "zimage_turbo_photo": {"optimizer.lr": 1e-4, "adapter.rank": 64, "adapter.alpha": 64, "steps": 3000},
    "zimage_base_style": {"optimizer.lr": 1.0, "adapter.rank": 16, "adapter.alpha": 1, "steps": 3000},
    "ltx23_t2v": {"optimizer.lr": 1e-4, "adapter.rank": 32, "adapter.alpha": 32, "steps": 2000},
}


@functools.cache
def composed(name: str) -> DictConfig:
    return composed_recipe(read_recipe(name))


@functools.cache
def plain(model: str) -> DictConfig:
    return composed_run([f"model={model}", "dataset.root=."])


def leaves(config: DictConfig) -> dict[str, object]:
    """Gives what a configuration says by dotted key, interpolations resolved."""
    found: dict[str, object] = {}

    def walk(value: object, path: str) -> None:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                walk(inner, f"{path}.{key}" if path else str(key))
        else:
            found[path] = value

    walk(OmegaConf.to_container(config, resolve=True), "")
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_passes_every_rule_under_strict_safety(name: str) -> None:
    config = composed(name)

    check(config)

    assert config.safety == "strict"


@pytest.mark.parametrize("name", NAMES)
def test_everything_that_a_recipe_changes_has_a_source(name: str) -> None:
    recipe, config = read_recipe(name), composed(name)
    groups = {key for key in recipe.every() if isinstance(OmegaConf.select(config, key), DictConfig)}

    here, there = leaves(config), leaves(plain(config.model.name))
    changed = {key for key in here if here[key] != there.get(key)} - {"name", "dataset.root"}

    sourced = {key for key, value in recipe.every().items() if value.source or value.conflict}
    assert groups <= sourced
    followers = {"watch.every", "study.name"}  # interpolate run.save_every and name
    unsourced = {key for key in changed if key not in sourced and key.split(".")[0] not in groups} - followers
    assert not unsourced


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_recipe_says_what_its_document_says(name: str) -> None:
    config = composed(name)

    assert {key: OmegaConf.select(config, key) for key in DOCUMENTED[name]} == DOCUMENTED[name]


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_opens_with_a_sentence_and_a_command_that_names_it(name: str) -> None:
    recipe = read_recipe(name)

    assert recipe.sentence.endswith(".")
    assert recipe.commands
    assert all(f"experiment={name} " in command and "dataset.root=" in command for command in recipe.commands)
    assert (RECIPES / f"{name}.yaml").read_text().startswith("# @package _global_\n")


def test_sources_and_conflicts_are_read_from_comments_behind_and_below_a_value() -> None:
    steps = read_recipe("flux2_klein9b_identity_8gb").every()["steps"]

    assert steps.value == "auto"
    assert steps.source.startswith("save_every x 6: AIMusicGeneration Research 2026-03-24; collapse")
    assert steps.source.endswith("(ai-toolkit 654, diffusion-pipe 502)")
    assert steps.conflict == "ai-toolkit's default is 3000"


def test_the_last_of_several_recipes_wins() -> None:
    every = read_recipe("zimage_base_style_adamw").every()

    assert every["optimizer"].value == "adamw"
    assert every["optimizer"].conflict == "Prodigy is mandatory by AIMusicGeneration Research 2026-03-24"
    assert every["steps"].value == 3000


def test_the_command_lists_all_and_prints_values_sources_and_conflicts() -> None:
    assert {line.split()[0] for line in listed()} >= set(NAMES)
    printed = "\n".join(described("flux2_klein9b_identity_regularized"))

    assert "optimizer.lr=5e-05   safe range [2e-05, 0.0001]" in printed
    assert "OneTrainer takes 3e-5" in printed
    assert "    conflict  ai-toolkit's default is 3000" in printed
    assert "dataset.regularization.root=(yours to name)" in printed


def test_an_unknown_recipe_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="there is no recipe ltx; known are flux2_klein4b_style, "):
        read_recipe("ltx")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("flux2_klein9b_identity_16gb", "flux2_klein9b"),
        ("flux2_klein9b_identity_8gb", "flux2_klein9b"),
        ("flux2_klein4b_style_8gb", "flux2_klein4b"),
        ("zimage_turbo_photo_16gb", "zimage_base"),
        ("zimage_turbo_photo_8gb", "zimage_base"),
    ],
)
def test_a_recipe_for_a_small_card_fits_by_the_plan_at_true_sizes(
    name: str, model: str, tmp_path: Path
) -> None:
    config = configured([f"experiment={name}", f"model.checkpoint={save_configs(model, tmp_path)}"])
    settle_without_pictures(config, why="nothing is read")

    lines = plan_lines(config, card="RTX 4090", budget_gib=None)

    size = int(name.rsplit("_", 1)[1].removesuffix("gb"))
    chosen = next(line for line in lines if line.startswith("chosen"))
    peak = float(re.search(r": ([\d.]+) GiB", chosen)[1])  # type: ignore[index]
    assert peak <= config.memory.budget_gib < size
