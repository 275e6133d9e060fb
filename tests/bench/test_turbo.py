from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from bench.turbo import merged
from bench.turbo_arms import BASE, BUDGETS, MATCHING, TURBO, arms
from bench.turbo_conditions import best_preset, conditions, validity
from bench.turbo_figures import Figures, bootstrap, cell
from bench.turbo_scores import placed
from bench.turbo_tables import page

from loralab.adapter import AdapterMetadata, LoraSpec, adapter_parameters, attached, export_adapter, inject
from loralab.cli.compose import composed_run

SPEC = LoraSpec(rank=2, alpha=2, targets="attention")
GROUPS = ("main", "rates", "ablation", "rank")
GOOD: dict[str, Any] = {
    "frechet": 4.0, "frechet_32": 4.0, "nfe_gap": 1.0, "sharpness_of_truth": 1.0, "sharpness_of_truth_32": 1.0,
    "precision": 0.9, "recall": 0.9, "accuracy": 1.0, "prior_frechet": 2.0, "drift": 0.05, "seconds": 20.0,
}  # fmt: skip
NAIVE = {
    "frechet": 9.0,
    "frechet_32": 5.0,
    "nfe_gap": 1.8,
    "sharpness_of_truth": 0.5,
    "prior_frechet": 8.0,
    "seconds": 10.0,
}


def rows(**changed: dict[str, Any]) -> list[dict[str, Any]]:
    """A benchmark where everything passes, but for what is changed in an arm."""
    found = {
        "turbo": {},
        "naive": NAIVE,
        "teacher": {},
        "adapter": {"frechet": 5.0},
        "coupled": {},
        "dm_aware": {},
    }
    return [
        {"concept": "varied_linocut", "arm": arm, "seed": seed, **GOOD, **usual, **changed.get(arm, {})}
        for arm, usual in found.items()
        for seed in (0, 1, 2)
    ]


def test_every_arm_is_a_line_that_train_py_understands(tmp_path: Path) -> None:
    for arm in arms(groups=GROUPS):
        line = arm.line(BUDGETS["small"], concept="varied_teapot", seed=1, assistant=tmp_path, runs=tmp_path)

        config = composed_run(line)

        assert config.seed == 1 and config.dataset.trigger == "sks"
        assert config.steps == (300 if arm.teacher is None else 60)


def test_arms_have_names_of_their_own_and_ranks_reach_from_4_to_64() -> None:
    chosen = arms(groups=GROUPS)

    assert len({arm.name for arm in chosen}) == len(chosen) > 15
    ranks = {int(arm.name.removeprefix("rank_")) for arm in arms(groups=["rank"])}
    assert ranks | {16} == {4, 8, 16, 32, 64}
    assert [arm.name for arm in arms(groups=["main"])] == [
        "naive",
        "base2turbo",
        "adapter",
        "coupled",
        "dm_aware",
    ]


def test_only_arms_of_distribution_matching_have_its_banks(tmp_path: Path) -> None:
    for arm in arms(groups=GROUPS):
        line = arm.line(BUDGETS["small"], concept="varied_teapot", seed=0, assistant=tmp_path, runs=tmp_path)

        assert any("bank_size" in override for override in line) == (MATCHING[0] in line)


def test_ratios_are_taken_seed_by_seed() -> None:
    data = rows()
    for row in data:
        row["frechet"] *= 1 + row["seed"]

    figures = Figures(data)

    assert figures.values("varied_linocut", "dm_aware", "ratio") == pytest.approx([4 / 9] * 3)
    assert figures.values("varied_linocut", "naive", "prior_ratio") == pytest.approx([4.0] * 3)


def test_other_true_pictures_stand_in_the_table_as_what_can_be_had() -> None:
    truth = {"sharpness": 1.1, "precision": 0.9, "recall": 0.8, "accuracy": 0.7}
    found = {"floor": 3.0, **{f"truth_{key}": value for key, value in truth.items()}}

    figures = Figures(rows(turbo=found))

    assert figures.values("varied_linocut", "truth", "frechet") == [3.0] * 3
    assert figures.values("varied_linocut", "truth", "ratio") == pytest.approx([1 / 3] * 3)
    assert figures.values("varied_linocut", "truth", "accuracy") == [0.7] * 3


def test_a_run_that_is_scored_anew_replaces_its_row_and_the_others_stay() -> None:
    before = [{"concept": "c", "arm": arm, "seed": 0, "frechet": 1.0} for arm in ("naive", "adapter")]
    now = [{"concept": "c", "arm": "adapter", "seed": seed, "frechet": 2.0} for seed in (0, 1)]

    found = {(row["arm"], row["seed"]): row["frechet"] for row in merged(before, now)}

    assert found == {("naive", 0): 1.0, ("adapter", 0): 2.0, ("adapter", 1): 2.0}


def test_a_cell_is_a_mean_with_its_interval_and_one_seed_has_none() -> None:
    assert cell([1.0, 2.0, 3.0]).startswith("2.00 [1.")
    assert cell([1.0]) == "1.00"
    assert cell([]) == ""
    low, high = bootstrap([1.0, 2.0, 3.0])
    assert 1 <= low < 2 < high <= 3


def test_a_preset_that_keeps_everything_passes_every_condition() -> None:
    assert all(each.holds for each in conditions(Figures(rows()), arm="dm_aware"))


@pytest.mark.parametrize(
    ("changed", "failed"),
    [
        ({"frechet": 7.5}, {"1a", "1b", "6", "7"}),
        ({"nfe_gap": 1.2}, {"2"}),
        ({"sharpness_of_truth": 0.8}, {"3a", "6"}),
        ({"sharpness_of_truth": 1.3}, {"3b", "6"}),
        ({"accuracy": 0.9}, {"4a"}),
        ({"recall": 0.7}, {"4b"}),
        ({"prior_frechet": 2.4, "drift": 0.2}, {"5a", "5b"}),
        ({"seconds": 26.0}, {"cost:"}),
        ({"frechet": math.nan}, {"1a", "1b", "6", "7"}),
    ],
)
def test_what_is_lost_fails_its_condition_and_no_other(changed: dict[str, Any], failed: set[str]) -> None:
    found = conditions(Figures(rows(dm_aware=changed)), arm="dm_aware")

    assert {each.what.split()[0] for each in found if not each.holds} == failed


def test_what_was_not_run_passes_nothing() -> None:
    data = [row for row in rows(teacher={"recall": 0.0}) if row["arm"] != "coupled"]

    found = {each.what.split()[0]: each for each in conditions(Figures(data), arm="dm_aware")}

    assert not found["7"].holds and not found["4b"].holds
    assert "not run" in found["7"].line


def test_the_benchmark_is_valid_where_the_base_and_naive_are_worse() -> None:
    figures = Figures(rows())

    valid = validity(figures, {"prior_frechet_8": 3.0, "prior_frechet_50": 1.5})
    without_distillation = validity(figures, {"prior_frechet_8": 2.0, "prior_frechet_50": 1.5})

    assert all(each.holds for each in valid)
    assert [each.holds for each in without_distillation] == [False, False, True, True]


def test_the_preset_that_the_figures_support_is_named_whatever_it_is() -> None:
    assert best_preset(Figures(rows(dm_aware={"drift": 0.3}, adapter={"drift": 0.3}))) == "coupled"
    assert best_preset(Figures(rows(coupled={"frechet": 4.1}))) == "dm_aware"


def test_the_page_has_a_table_of_each_group_that_was_run() -> None:
    data = [*rows(), {**rows()[-1], "arm": "rank_64"}]
    text = page(
        Figures(data), base={}, groups={"rank": ["rank_64"], "ablation": ["no_anchor"]}, opening="# Title"
    )

    assert text.startswith("# Title")
    assert "| rank_64 | 4.00 |" in text and "no_anchor" not in text
    assert text.count("## Conditions:") == 3


def test_turbo_is_scored_with_adapters_of_its_base_as_well(tmp_path: Path) -> None:
    denoiser = placed(TURBO, torch.device("cpu"), checkpoint=None)
    base = placed(BASE, torch.device("cpu"), checkpoint=None)
    inject(base.transformer, SPEC, pattern=base.target_pattern(SPEC.targets))
    for parameter in adapter_parameters(base.transformer):
        torch.nn.init.constant_(parameter, 0.01)
    identity = base.identity()
    metadata = AdapterMetadata(
        family=identity.family, model=identity.model, checkpoint=identity.checkpoint,
        base_digest=identity.base_digest, objective="FlowMatching", rank=2, alpha=2.0, targets=SPEC.targets, step=1,
        config_digest="",
    )  # fmt: skip
    path = export_adapter(
        base.transformer, tmp_path / "adapter.safetensors", prefix=base.export_prefix, metadata=metadata
    )

    with attached(denoiser.transformer, path, foreign_names=denoiser.foreign_names) as found:
        assert found.metadata is not None and found.metadata.model == BASE
