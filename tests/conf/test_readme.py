"""The README's tables name every choice that there is."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GROUPS = (
    "dataset",
    "objective",
    "adapter",
    "optimizer",
    "schedule",
    "memory",
    "evaluation",
    "logger",
    "study",
)


@pytest.mark.parametrize("group", GROUPS)
def test_the_readme_lists_exactly_the_choices_of_each_group(group: str) -> None:
    row = re.search(rf"^\| `{group}` \| (.*) \|$", README, re.MULTILINE)
    files = {file.stem for file in (ROOT / "conf" / group).glob("*.yaml")}

    assert row is not None
    assert set(re.findall(r"`([a-z0-9_]+)`", row[1])) == files


def test_the_readme_lists_every_model() -> None:
    table = README.partition("## Models")[2].partition("##")[0]

    assert {file.stem for file in (ROOT / "conf" / "model").glob("*.yaml")} <= set(
        re.findall(r"`([a-z0-9_]+)`", table)
    )


def test_every_file_that_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)

    assert len(links) > 5
    for link in links:
        assert (ROOT / link).exists(), link
