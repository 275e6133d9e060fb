"""The files of `sweeps/`: complete, sourced, at one with the recipes, and composable as they stand."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from loralab.config import CONF, PLAIN, check
from loralab.ranges import SAFE, SWEEPS, SafeRange, applicable, read_ranges, read_sweep, widened
from loralab.ranges.table import page

DRAWN_WITH = {"ltx23_distilled"}
"""Models that nothing is trained on."""
MODELS = {file.stem for file in (CONF / "model").glob("*.yaml")} - DRAWN_WITH
SWEPT = sorted(file.stem for file in SWEEPS.glob("*.yaml"))
RANGES = [
    pytest.param(name, safe, id=f"{name}-{index}")
    for name in SWEPT
    for index, safe in enumerate(read_ranges(name))
]


@functools.cache
def composed(model: str, *overrides: str) -> DictConfig:
    chosen = [f"model={model}"] if model in MODELS else []
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", [*chosen, "dataset.root=photos/", *overrides])


def conditions_of(safe: SafeRange) -> list[tuple[str, ...]]:
    """Gives overrides under which a range applies, one tuple for each optimizer that it names."""
    targets = {str(OmegaConf.load(file)._target_): file.stem for file in (CONF / "optimizer").glob("*.yaml")}
    others = [f"{key}={values[0]}" for key, values in safe.when.items() if key != "optimizer._target_"]
    optimizers = [f"optimizer={targets[target]}" for target in safe.when.get("optimizer._target_", ())]
    return [(optimizer, *others) for optimizer in optimizers] or [tuple(others)]


def test_every_model_has_a_file_and_every_file_a_model() -> None:
    assert MODELS
    assert set(SWEPT) == MODELS


@pytest.mark.parametrize(("name", "safe"), RANGES)
def test_every_number_has_a_source_and_the_recommended_one_lies_inside(name: str, safe: SafeRange) -> None:
    bounds = [bound for bound in (safe.low, safe.recommended, safe.high) if bound]

    assert len(bounds) > 1
    assert all(len(bound.source) > 8 for bound in bounds)
    assert not widened(safe, [bound.value for bound in bounds], model=name)


@pytest.mark.parametrize(("name", "safe"), RANGES)
def test_the_recommended_value_is_what_a_run_has_by_itself(name: str, safe: SafeRange) -> None:
    for overrides in conditions_of(safe):
        config = composed(name, *overrides)
        value = OmegaConf.select(config, safe.key)

        assert value is not None
        assert (
            applicable(read_ranges(name), functools.partial(OmegaConf.select, config))[safe.key] is not None
        )
        if name in MODELS:
            assert value == safe.recommended.value
            assert type(value) is type(safe.recommended.value)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_rank_rate_and_length_of_the_recipe_are_the_recommended_ones(name: str) -> None:
    config = composed(name)
    recipe = config.model.recipe

    found = applicable(read_ranges(name), functools.partial(OmegaConf.select, config))

    recommended = {key: safe.recommended.value for key, safe in found.items()}
    assert recommended == {"optimizer.lr": recipe.lr, "adapter.rank": recipe.rank, "steps": recipe.num_steps}


@pytest.mark.parametrize("name", SWEPT)
def test_the_overrides_of_a_sweep_compose_and_pass_every_rule(name: str) -> None:
    config = composed(name, *read_sweep(name).overrides)
    if config.model.variant == "distilled" and config.objective._target_ in PLAIN:
        config.allow_dedistill = True

    check(config)


@pytest.mark.parametrize("name", SWEPT)
def test_what_a_sweep_searches_is_a_search_of_known_keys_inside_the_safe_ranges(name: str) -> None:
    sweep, config = read_sweep(name), composed(name)
    ranges = applicable(sweep.ranges, functools.partial(OmegaConf.select, config))

    assert sweep.search
    for key, text in sweep.search.items():
        grammar = ranges[key].grammar() if text == SAFE else text
        override = OverridesParser.create().parse_override(f"{key}={grammar}")
        value = override.value()

        assert override.is_sweep_override()
        assert OmegaConf.select(config, key) is not None
        ends = [value.start, value.end] if override.is_interval_sweep() else list(override.sweep_iterator())
        assert not widened(ranges[key], [float(end) for end in ends], model=name)


def test_the_page_of_the_folder_is_what_the_command_writes() -> None:
    written = (SWEEPS / "README.md").read_text(encoding="utf-8")

    assert written == page(read_sweep(name) for name in SWEPT), "run: python -m loralab.ranges"


@pytest.mark.parametrize("name", SWEPT)
def test_a_file_opens_with_a_sentence_and_its_command(name: str) -> None:
    first, second, *_ = Path(SWEEPS / f"{name}.yaml").read_text().splitlines()

    assert first.startswith("# ")
    assert first.endswith(".")
    assert second.startswith(f"#   python train.py -m sweep={name}")


def test_turbo_is_kept_at_the_ranks_and_lengths_that_its_recipe_names() -> None:
    found = applicable(read_ranges("zimage_turbo"), lambda key: "torch.optim.AdamW")
    rank, steps = found["adapter.rank"], found["steps"]

    assert rank.low
    assert steps.high
    assert (rank.low.value, rank.recommended.value, steps.high.value) == (32, 64, 4000)
    assert not rank.low.is_search_only
    assert not steps.high.is_search_only
