from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from loralab.evaluation.previews import write_preview
from loralab.loggers import JsonlLogger
from loralab.report import record_environment, write_run_page
from loralab.report.page.curves import charts

EVIL = "fox & hound <script>alert(1)</script>"


def interval(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.01, "high": value + 0.01}


def style_score() -> dict[str, object]:
    compared = {"base": 0.4, "adapter": 0.1, "difference": interval(-0.3), "share_improved": interval(0.95)}
    drift = {"adapter": interval(0.02), "other_seed": interval(0.1), "ratio": 0.2}
    return {
        "num_held_out": 40,
        "num_no_trigger": 16,
        "num_seeds": 1,
        "pixel": compared,
        "feature": compared,
        "frechet": {"base": 12.5, "adapter": 3.5},
        "drift_pixel": drift,
        "drift_feature": drift,
    }


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """What a finished run leaves."""
    folder = tmp_path / "nano_klein" / "default" / "2026-11-23"
    columns = {name: tuple(Image.new("RGB", (64, 64), name) for _ in range(2)) for name in ("red", "green")}
    write_preview(folder / "previews", columns, prompts=[EVIL, "snail"], seeds=[0])
    logger = JsonlLogger(folder / "metrics.jsonl")
    for step in range(0, 101, 10):
        logger.log_metrics({"train/loss": 1 / (1 + step), "train/learning_rate": 1e-3}, step=step)
        logger.log_metrics({"validation/loss": 0.5, "validation/loss_sigma_0.10": float("nan")}, step=step)
    (folder / "config.yaml").write_text("steps: 100\nadapter:\n  rank: 8\nmodel:\n  name: nano_klein\n")
    (folder / "overrides.yaml").write_text("- steps=100\n- dataset.trigger='my word'\n")
    (folder / "adapter.safetensors").write_bytes(b"0" * 2_345_678)
    stages = {"train": {"wall_time_s": 88.1, "peak_memory_gib": 1.25}}
    result = {"status": "finished", "steps": 100, "style": style_score(), "stages": stages}
    (folder / "result.json").write_text(json.dumps(result))
    record_environment(folder)
    return folder


class Page(HTMLParser):
    """Collects tags with their attributes and all text; fails on tags that are not closed in order."""

    VOID = ("meta", "link", "img", "line", "polyline", "circle")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_page_shows_result_previews_curves_cost_files_and_command(run_folder: Path) -> None:
    path = write_run_page(run_folder)

    page = Page(path.read_text())
    assert path == run_folder / "report.html"
    assert "75% nearer to their true pictures" in page.text
    assert "python train.py steps=100 \"dataset.trigger='my word'\"" in page.text
    assert all(fact in page.text for fact in ("88.1 s", "1.25 GiB", "2.3 MB", "adapter.rank", "torch"))
    assert sum(attributes.get("class") == "chart" for _, attributes in page.tags) == 3
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert [attributes["alt"] for attributes in pictures] == [
        f"{c}: {p}" for p in (EVIL, "snail") for c in ("red", "green")
    ]


def test_page_needs_no_other_file_and_links_originals_beside_it(run_folder: Path) -> None:
    html = write_run_page(run_folder).read_text()

    page = Page(html)
    assert not any(tag in ("iframe", "object") for tag, _ in page.tags)
    assert not any("src" in attributes for tag, attributes in page.tags if tag == "script")
    sources = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(sources) == 4
    assert all(str(source).startswith("data:image/png;base64,") for source in sources)
    links = [str(attributes["href"]) for _, attributes in page.tags if "href" in attributes]
    beside = [link for link in links if not link.startswith(("#", "data:"))]
    assert "previews/green/01.png" in beside
    assert all((run_folder / link).exists() for link in beside)
    assert EVIL in page.text
    assert EVIL not in html


def test_pictures_that_do_not_fit_the_budget_are_reduced_then_left_out_and_said_so(run_folder: Path) -> None:
    noise = Image.effect_noise((400, 400), 100)
    write_preview(run_folder / "previews", {"base": (noise,) * 4}, prompts=["a", "b"], seeds=[0, 1])

    whole, reduced, few = (
        write_run_page(run_folder, budget=budget).read_text() for budget in (2_000_000, 100_000, 10_000)
    )

    assert whole.count("data:image/png") == 4
    assert reduced.count("data:image/jpeg") == 4
    assert len(reduced) < 200_000
    assert few.count("data:image/jpeg") < 4
    assert "more pictures are in the folders" in Page(few).text


def test_large_pictures_are_reduced_inside_the_page(run_folder: Path) -> None:
    noise = Image.effect_noise((1024, 1024), 100)
    columns = {"base": (noise,), "adapter": (noise,)}
    write_preview(run_folder / "previews", columns, prompts=["noise"], seeds=[0])

    html = write_run_page(run_folder).read_text()

    assert "data:image/jpeg;base64," in html
    assert len(html) < 1_500_000


def test_page_of_a_run_that_failed_says_so(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(
        json.dumps({"status": "diverged", "reason": "the loss became nan at step 7"})
    )

    page = Page(write_run_page(tmp_path).read_text())

    assert "diverged: the loss became nan at step 7" in page.text


def test_page_of_an_empty_folder_is_still_a_page(tmp_path: Path) -> None:
    page = Page(write_run_page(tmp_path).read_text())

    assert "no result.json" in page.text


def test_page_without_a_style_score_tells_the_validation_loss(tmp_path: Path) -> None:
    result = {"status": "finished", "steps": 50, "validation": [[0, 0.5], [50, 0.25]]}
    (tmp_path / "result.json").write_text(json.dumps(result))

    assert (
        "Validation loss 0.5000 before training, 0.2500 after 50 steps (-50.0%)."
        in write_run_page(tmp_path).read_text()
    )


def test_curves_keep_every_point_inside_the_picture_and_skip_gaps() -> None:
    lines = [{"step": step, "validation/loss": (step - 3) ** 2 * 1e-6 or None} for step in range(7)]

    (chart,) = charts(lines)

    (line,) = chart.drawn
    assert len(line.places) == 6
    assert all(0 <= x <= 480 and 0 <= y <= 260 for x, y in line.places)
    assert line.places[0][1] < line.places[1][1], "the larger loss stands higher, at the smaller y"
    assert 3 <= len(chart.y_ticks) <= 8
    assert "from 9e-06 to 9e-06" in chart.summary


@pytest.mark.parametrize("values", [[0.0, 0.0], [5.0, 5.0], [-1.0, 1.0], [1e-12, 1e12]])
def test_curves_of_strange_ranges_can_be_drawn(values: list[float]) -> None:
    (chart,) = charts([{"step": step, "some/metric": value} for step, value in enumerate(values)])

    assert chart.title == "some/metric"
    assert len(chart.y_ticks) >= 1


def few_step_run(folder: Path, **result: object) -> str:
    """Gives the page of a run on a distilled model."""
    (folder / "config.yaml").write_text("model:\n  name: zimage_turbo\n  variant: distilled\n")
    found = {"status": "finished", "steps": 100, "validation": [[0, 1.5], [100, 1.2]], **result}
    (folder / "result.json").write_text(json.dumps(found))
    return Page(write_run_page(folder).read_text()).text


def test_on_a_few_step_model_the_flow_matching_error_is_called_a_detector(run_folder: Path) -> None:
    JsonlLogger(run_folder / "metrics.jsonl").log_metrics({"detector/flow_matching": 1.5}, step=110)
    JsonlLogger(run_folder / "metrics.jsonl").log_metrics({"detector/flow_matching": 1.2}, step=120)

    text = few_step_run(run_folder)

    assert "Flow-matching error 1.5000 before training, 1.2000 after 100 steps: a detector, no score." in text
    assert "Detector, no score: flow-matching error" in text
    assert "Validation loss 1.5" not in text


def test_what_few_steps_draw_is_the_headline_of_a_few_step_model(run_folder: Path) -> None:
    fewstep = {"frechet": 4.5, "sharpness": 0.93, "base": {"frechet": 20.0}}

    text = few_step_run(run_folder, style=style_score(), fewstep=fewstep)

    assert "At few steps the pictures lie 4.50 from held-out ones" in text
    assert "untouched checkpoint's 20.00), with 93% of its sharpness" in text


def test_alarms_and_the_newest_look_are_on_the_page(run_folder: Path) -> None:
    (run_folder / "watch").mkdir()
    for step in (50, 100):
        Image.new("RGB", (64, 64), "red").save(run_folder / "watch" / f"step_{step:06d}.png")
    alarm = {"name": "prior_moved", "step": 50, "message": "prior prompts have drifted by 0.20"}

    text = few_step_run(run_folder, watch={"alarms": [alarm]})

    assert "Are few steps still enough?" in text
    assert "Step 50: prior prompts have drifted by 0.20." in text
    assert "step 000100" in text
    assert "step 000050" not in text
