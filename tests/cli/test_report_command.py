from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.report.page.fixtures import ablation_record
from tests.report.study.studies import filled_study

from loralab.cli import report
from loralab.errors import UserError
from loralab.report.ablation import write_record
from loralab.study import open_storage, storage_url

JOURNAL = "journal:///study.log"


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study in a journal, which is quick to write; the name `bowl` is known from the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    folder = Path("outputs/studies/bowl")
    filled_study(12, storage=open_storage(storage_url(JOURNAL, folder=folder)))
    return folder


def test_a_study_is_named_and_leaves_a_page_and_what_wandb_would_be_sent(study: Path) -> None:
    report.main(["study=bowl", f"storage={JOURNAL}", "wandb.project=styles"])

    assert "Study bowl" in (study / "report.html").read_text()
    assert json.loads((study / "wandb_report.json").read_text())["project"] == "styles"
    with pytest.raises(UserError, match="push=true, but this machine is not logged in"):
        report.main(["study=bowl", f"storage={JOURNAL}", "--push"])


@pytest.mark.slow
def test_the_folder_of_an_ablation_says_itself_what_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "rank"
    folder.mkdir()
    write_record(ablation_record(), folder)

    report.main([str(folder)])

    assert "Rank and rate" in (folder / "report.html").read_text()
    assert json.loads((folder / "wandb_report.json").read_text())["displayName"] == "Rank and rate <b>"
    assert (folder / "tables" / "runs.csv").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "report needs one of run=<folder>, study=<name>, ablation=<name>, or a folder, not nothing"),
        (["run=a", "study=b"], "not run=a study=b"),
        (["nowhere"], "nowhere holds no run, study or ablation"),
        (["study=b", "colour=red"], "colour is no setting; known: run, study, ablation, storage, push"),
        (["run=nowhere"], "run=nowhere holds no config.yaml"),
    ],
)
def test_what_cannot_be_reported_says_what_can(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        report.main(arguments)
