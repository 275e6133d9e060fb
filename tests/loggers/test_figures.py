from __future__ import annotations

from pathlib import Path

from loralab import names
from loralab.loggers import JsonlLogger, log_figures
from loralab.loggers.jsonl import read_metrics


def test_scores_are_logged_under_the_names_that_reports_ask_for(tmp_path: Path) -> None:
    style = {"pixel": {"adapter": 0.25, "is_sure": True}, "broken": float("nan")}
    result = {
        "status": "finished",
        "style": style,
        "fewstep": None,
        "stages": {"train": {"wall_time_s": 3.0}},
    }

    log_figures([JsonlLogger(tmp_path / "metrics.jsonl")], result, step=120)

    (line,) = read_metrics(tmp_path / "metrics.jsonl")
    assert line == {"step": 120, "result/style/pixel/adapter": 0.25}
    assert names.result("style.pixel.adapter") == "result/style/pixel/adapter"


def test_a_run_without_scores_logs_none(tmp_path: Path) -> None:
    log_figures([JsonlLogger(tmp_path / "metrics.jsonl")], {"steps": 3}, step=3)

    assert not (tmp_path / "metrics.jsonl").exists()
