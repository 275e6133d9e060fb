from __future__ import annotations

import pytest

from loralab import names


@pytest.mark.parametrize(
    ("metric", "group", "level"),
    [
        ("validation/loss", "validation/loss", None),
        (names.at_sigma(names.VALIDATION, "0.10"), "validation/loss", "0.10"),
        (names.at_sigma(names.validation_of("video"), "0.90"), "validation/video", "0.90"),
        ("update_norm/min", "update_norm", None),
        ("train/loss", "train/loss", None),
    ],
)
def test_a_metrics_name_says_its_group_and_noise_level(metric: str, group: str, level: str | None) -> None:
    assert names.group_of(metric) == group
    assert names.level_of(metric) == level


def test_names_that_people_have_dashboards_on_do_not_change() -> None:
    """W&B, TensorBoard and metrics.jsonl of earlier runs have these."""
    assert (names.VALIDATION, names.DETECTOR) == ("validation/loss", "detector/flow_matching")
    assert (names.PREVIEW, names.LOOK, names.DENSITY) == (
        "preview/grid",
        "watch/pictures",
        "train/sigma_density",
    )
    assert names.at_sigma(names.VALIDATION, "0.10") == "validation/loss_sigma_0.10"
    assert names.study_picture("pareto") == "study/pareto"
