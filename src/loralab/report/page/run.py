"""A run as a page, made from the files of its folder alone: it can be made again at any time, also of a failed run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loralab import names
from loralab.report import reading
from loralab.report.page import style
from loralab.report.page.curves import charts
from loralab.report.page.gallery import BUDGET, gallery
from loralab.report.page.html import write_page
from loralab.report.page.parts import (
    Block,
    Cell,
    Charts,
    Command,
    Details,
    Page,
    Section,
    Table,
    TableRow,
    Text,
    facts,
    number_cell,
)
from loralab.report.reading import Source

MAIN_SETTINGS = (
    "model.name",
    "model.checkpoint",
    "dataset.root",
    "dataset.trigger",
    "steps",
    "batch_size",
    "optimizer.lr",
    "adapter.rank",
    "adapter.alpha",
    "adapter.targets",
    "seed",
)
UNKNOWN = "no result.json: still running, or it crashed"


def write_run_page(folder: str | Path, *, budget: int = BUDGET) -> Path:
    """Writes `report.html` into the run's folder; returns its path."""
    folder = Path(folder)
    return write_page(run_page(folder, budget=budget), folder / "report.html")


def run_page(folder: Path, *, budget: int = BUDGET) -> Page:
    """Makes the page of a run; `budget` is of its pictures, in bytes."""
    result, settings = reading.json_file(folder / "result.json"), reading.settings(folder)
    status = str(result.get("status", UNKNOWN))
    reason = f": {result['reason']}" if result.get("reason") else ""
    return Page(
        title=" / ".join(folder.absolute().parts[-3:]),
        status=status + reason,
        is_good=status == "finished",
        headline=style.headline(result, is_few_step=settings.get("model.variant") == "distilled"),
        sections=(
            Section("Are few steps still enough?", _watch(result, folder, budget)),
            Section("Did it stay whole?", _sentinel(result.get("sentinel", {}))),
            Section("Before and after", _previews(folder, budget)),
            *style.sections(result.get("style")),
            Section("Curves", _curves(folder)),
            Section("To repeat it", (Command(reading.command(folder)),)),
            Section("Settings", _settings(settings)),
            Section("Cost", _cost(result.get("stages", {}))),
            Section("Files", (_files(folder),)),
            Section("Environment", _environment(folder)),
        ),
    )


def _watch(result: Mapping[str, Any], folder: Path, budget: int) -> tuple[Block, ...]:
    """Gives the alarms, and the newest picture of few steps beside many."""
    alarms = result.get("watch", {}).get("alarms", [])
    said = [Text(f"Step {alarm['step']}: {alarm['message']}.", "bad") for alarm in alarms]
    looks = sorted((folder / "watch").glob("step_*.png"))
    sources = [Source(path, "few steps beside many", path.stem.replace("_", " ")) for path in looks[-1:]]
    title = "The newest look: the adapter alone at few steps beside many, from one noise"
    found = gallery(sources, beside=folder, title=title, media=names.LOOK, budget=budget)
    return (*said, *([found] if found else []))


def _sentinel(found: Mapping[str, Any]) -> tuple[Block, ...]:
    """Gives the sentinel's alarms and what was done about them."""
    said = [Text(f"Step {alarm['step']}: {alarm['message']}.", "bad") for alarm in found.get("alarms", [])]
    said += [Text(f"Step {step}: the learning rate was lowered.") for step in found.get("lowered", [])]
    if found.get("stopped") is not None:
        kept = found.get("rolled_back_to")
        after = "" if kept is None else f" and put the snapshot of step {kept} in place of the adapter"
        said.append(Text(f"The sentinel stopped the run at step {found['stopped']}{after}.", "bad"))
    return tuple(said)


def _previews(folder: Path, budget: int) -> tuple[Block, ...]:
    title = "Every row is drawn from one noise; the adapter is read from its file"
    found = gallery(reading.previews(folder), beside=folder, title=title, media=names.PREVIEW, budget=budget)
    return (found,) if found else ()


def _curves(folder: Path) -> tuple[Block, ...]:
    found = charts(reading.metrics(folder))
    density = Source(folder / "sigma_density.png", "density of sigma", "Noise levels drawn in training")
    picture = gallery([density], beside=folder, title="", media=names.DENSITY)
    return (*([Charts(found)] if found else []), *([picture] if picture else []))


def _settings(settings: Mapping[str, str]) -> tuple[Block, ...]:
    main = [(key, settings[key]) for key in MAIN_SETTINGS if settings.get(key, "null") != "null"]
    every = facts("All settings", list(settings.items()))
    return (facts("Main settings", main), Details(f"All {len(settings)} settings", (every,)))


def _cost(stages: Mapping[str, Mapping[str, float]]) -> tuple[Block, ...]:
    rows = tuple(
        TableRow(
            (
                Cell(name),
                number_cell(stage["wall_time_s"], f"{stage['wall_time_s']:.1f} s"),
                number_cell(stage["peak_memory_gib"], f"{stage['peak_memory_gib']:.2f} GiB"),
            )
        )
        for name, stage in stages.items()
    )
    return (Table(title="Time and memory", head=("stage", "time", "peak memory"), rows=rows),) if rows else ()


def _files(folder: Path) -> Table:
    rows = tuple(
        TableRow((Cell(file.path, link=file.path), Cell(file.size))) for file in reading.files(folder)
    )
    return Table(title="Files of this run", head=(), rows=rows, is_plain=True)


def _environment(folder: Path) -> tuple[Block, ...]:
    found = reading.json_file(folder / "environment.json")
    return (
        (facts("Versions and machine", [(key, str(value)) for key, value in found.items()]),) if found else ()
    )
