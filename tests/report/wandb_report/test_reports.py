from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.report.page.fixtures import ablation_record
from tests.report.study.studies import filled_study
from tests.report.wandb_report.server import ENTITY, Server, serving

from loralab import names
from loralab.errors import UserError
from loralab.report.study import Summary, summarized
from loralab.report.wandb_report import Target, ablation_report, push, study_report, write_specification


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving("loralab") as found:
        monkeypatch.setenv("WANDB_BASE_URL", found.url)
        monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
        monkeypatch.setenv("WANDB_SILENT", "true")
        monkeypatch.delenv("WANDB_ENTITY", raising=False)
        yield found


@pytest.fixture(scope="module")
def summary() -> Summary:
    return summarized(filled_study(), num_resamples=2)


def grids(specification: dict[str, Any]) -> list[dict[str, Any]]:
    return [block["metadata"] for block in specification["blocks"] if block["type"] == "panel-grid"]


def panels(specification: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    every = [panel for grid in grids(specification) for panel in grid["panelBankSectionConfig"]["panels"]]
    return [panel["config"] for panel in every if panel["viewType"] == kind]


def texts(specification: dict[str, Any]) -> str:
    return "\n".join(
        block["content"] for block in specification["blocks"] if block["type"] == "markdown-block"
    )


def written(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_a_study_is_a_set_of_runs_with_curves_parameters_importance_pictures_and_tables(
    summary: Summary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")

    found = written(write_specification(study_report([summary], Target("styles")), tmp_path))

    assert (found["project"], found["displayName"], found["id"]) == ("styles", "Study bowl", "")
    spec = found["spec"]
    (trials,) = grids(spec)[0]["runSets"]
    filters = {each["key"]["name"]: (each["op"], each["value"]) for each in trials["filters"]["filters"]}
    assert filters == {"group": ("=", "bowl"), "jobType": ("!=", names.STUDY_JOB)}
    assert panels(spec, "Run History Line Plot")[0]["metrics"] == [names.VALIDATION]
    (parallel,) = panels(spec, "Parallel Coordinates Plot")
    assert [column["accessor"] for column in parallel["columns"]] == [
        "config:optimizer.value.lr", "config:adapter.value.rank", "config:optimizer.value._target_",
        f"summary:{names.VALIDATION}",
    ]  # fmt: skip
    assert parallel["columns"][0]["log"] is True
    assert panels(spec, "Parameter Importance")[0]["targetKey"] == names.VALIDATION
    media = [config["mediaKeys"] for config in panels(spec, "Media Browser")]
    assert media == [[names.PREVIEW], [names.study_picture(stem) for stem in names.STUDY_PICTURES]]
    assert f"| {summary.best[0].number} |" in texts(spec)


def test_studies_beside_each_other_are_a_set_of_runs_each(summary: Summary, tmp_path: Path) -> None:
    other = summarized(filled_study(12, name="cup"), num_resamples=2)

    found = written(write_specification(study_report([summary, other], Target()), tmp_path))

    assert found["displayName"] == "Studies bowl, cup"
    assert [each["name"] for each in grids(found["spec"])[0]["runSets"]] == [
        "study bowl: trials",
        "study cup: trials",
    ]


def test_an_ablation_is_a_set_of_runs_for_each_cell_with_curves_per_noise_level_and_statistics(
    tmp_path: Path,
) -> None:
    record = ablation_record()

    spec = written(write_specification(ablation_report(record, Target()), tmp_path))["spec"]

    sets = grids(spec)[0]["runSets"]
    assert [each["name"] for each in sets] == [cell.name for cell in record.cells]
    group, called = sets[1]["filters"]["filters"]
    assert group["value"] == "rank"
    assert called["value"] == [f"rank/trials/{index:04d}" for index in (6, 8, 9, 10, 11)], "7 has failed"
    curves = [config["metrics"] for config in panels(spec, "Run History Line Plot")]
    assert curves == [
        [names.VALIDATION],
        *([names.at_sigma(names.VALIDATION, each)] for each in ("0.10", "0.50", "0.90")),
    ]
    assert panels(spec, "Bar Chart")[0]["metrics"] == ["summary_metrics.result/style/pixel/adapter"]
    assert "| rank=4 | 5 of 6 (1 failed) |" in texts(spec)
    assert "the smallest p that can be reached" in texts(spec)


@pytest.mark.slow
def test_a_report_is_saved_and_then_changed_in_its_place(
    summary: Summary, tmp_path: Path, server: Server
) -> None:
    from wandb_workspaces.reports.v2.internal import Spec

    for _ in range(2):
        write_specification(study_report([summary], Target()), tmp_path)
        address = push(lambda target: study_report([summary], target), tmp_path, Target())

    first, second = server.saved
    assert (first["entityName"], first["projectName"], first["type"]) == (ENTITY, "loralab", "runs")
    assert (first["id"], second["id"]) == (None, "view1")
    assert address == f"{server.url}/{ENTITY}/loralab/reports/Study-bowl--view1"
    sent = json.loads(second["spec"])
    Spec.model_validate(sent)
    assert grids(sent)[0]["runSets"][0]["project"] == {
        "entityName": ENTITY,
        "name": "loralab",
        "id": "project0",
    }
    kept = written(tmp_path / "wandb_report.json")
    assert (kept["id"], kept["url"]) == ("view1", address)
    assert len(kept["spec"]["blocks"]) == len(sent["blocks"])
    assert server.unknown == []


@pytest.mark.slow
def test_a_project_without_runs_says_to_sync_them_first(
    summary: Summary, tmp_path: Path, server: Server
) -> None:
    with pytest.raises(UserError, match=r"wandb\.project=nowhere.*not found.*`wandb sync"):
        push(lambda target: study_report([summary], target), tmp_path, Target("nowhere"))

    assert server.saved == []


def test_who_is_not_logged_in_is_told_how(
    summary: Summary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

    with pytest.raises(UserError, match="push=true, but this machine is not logged in"):
        push(lambda target: study_report([summary], target), tmp_path, Target())
