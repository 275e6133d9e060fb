from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.report.study.studies import filled_study

from loralab.loggers import WandbSettings
from loralab.report.study import summarized, write_summary
from loralab.report.study.wandb_summary import log_study


@pytest.fixture(autouse=True)
def nobody_is_logged_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_JOB_TYPE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")


def records(folder: Path) -> list[dict[str, Any]]:
    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]


@pytest.mark.slow
def test_a_study_is_one_run_in_the_group_of_its_trials_with_table_pictures_and_figures(
    tmp_path: Path,
) -> None:
    summary = summarized(filled_study(), num_resamples=2)
    write_summary(summary, tmp_path)

    command = log_study(summary, tmp_path, WandbSettings(project="styles"))

    (offline,) = tmp_path.glob("wandb/offline-run-*")
    assert command == f"wandb sync '{offline}'"
    told = records(tmp_path)
    (run,) = (record["run"] for record in told if record["type"] == "run")
    assert (run["run_group"], run["job_type"], run["project"]) == ("bowl", "study", "styles")
    figures = {
        k: v for each in told if each["type"] == "summary" for k, v in each["summary"]["update"].items()
    }
    assert figures["best/trial"] == summary.best[0].number
    assert figures["best/validation_loss"] == summary.best[0].values[0]  # type: ignore[index]
    assert figures["importance/optimizer.lr"] == pytest.approx(summary.shares[0].value)
    assert figures["trials/failed"] == 3
    for name in ("history", "importance", "curves", "pareto"):
        (picture,) = figures[f"study/{name}.filenames"]
        assert (offline / "files" / picture).is_file()
    table = json.loads((offline / "files" / figures["study/trials.path"]).read_text())
    assert len(table["data"]) == 25
    assert (
        dict(zip(table["columns"], table["data"][0], strict=True))["validation_loss"]
        == figures["recipe/validation_loss"]
    )


def test_what_is_secret_in_a_setting_stays_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefgh")
    study = filled_study(9, overrides=["dataset.hub_token=hf_abcdefgh"])

    log_study(summarized(study), tmp_path, WandbSettings())

    assert "hf_abcdefgh" not in json.dumps(records(tmp_path))
