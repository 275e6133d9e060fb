"""The page in a real browser: what the scripts do, and that nothing goes wrong and nothing is asked of the network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select
from tests.browser import PHONE, WIDE, Browser, browser
from tests.report.page.fixtures import EVIL, ablation_record, leave_run, memory_study

from loralab.report.page.ablation import write_ablation_page
from loralab.report.page.run import write_run_page
from loralab.report.page.study import write_study_page
from loralab.report.study import summarized

pytestmark = pytest.mark.browser

NUM_TRIALS = 31


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    return write_study_page(summarized(memory_study(folder), num_resamples=2), folder)


@pytest.fixture(scope="module")
def ablation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ablation")
    return write_ablation_page(ablation_record(folder), folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run_page(leave_run(tmp_path_factory.mktemp("run")))


@pytest.fixture
def page(chromium: Browser, study: Path) -> Browser:
    chromium.resize(WIDE)
    return chromium.open(study)


def found(page: Browser, selector: str) -> list[WebElement]:
    return page.driver.find_elements(By.CSS_SELECTOR, selector)


def column(page: Browser, name: str) -> list[str]:
    """Gives the texts of a column of the trials' table, without hidden rows."""
    script = """
      const table = document.querySelector("table.searchable"), heads = [...table.tHead.rows[0].cells];
      const at = heads.findIndex((head) => head.textContent.trim() === arguments[0]);
      const rows = [...table.tBodies[0].rows].filter((row) => !row.hidden);
      return rows.map((row) => row.cells[at].textContent.replace("◎", "").trim());
    """
    texts: list[str] = page.run(script, name)
    return texts


def typed(page: Browser, text: str) -> None:
    (field,) = found(page, "input[type=search]")
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(Keys.BACKSPACE, text)


@pytest.mark.parametrize("name", ["run", "study", "ablation"])
@pytest.mark.parametrize("size", [WIDE, PHONE])
def test_a_page_loads_without_an_error_a_request_or_a_sideways_scroll(
    chromium: Browser, name: str, size: tuple[int, int], request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(name)
    chromium.resize(size)

    chromium.open(path)

    assert chromium.errors() == []
    assert chromium.requests() == [path.as_uri()]
    assert chromium.run("return document.documentElement.scrollWidth") <= size[0]
    assert chromium.run("return [...document.images].every((each) => each.complete && each.naturalWidth > 0)")


def test_captions_that_are_html_stay_captions(page: Browser) -> None:
    assert page.driver.title == "Study bowl · loralab"
    assert found(page, "figure figcaption")
    assert (
        page.run("return [...document.querySelectorAll('.gallery figure')].map((f) => f.dataset.prompt)")[0]
        == EVIL
    )
    assert page.run("return document.querySelectorAll('img[onerror]').length") == 0


def test_the_policy_of_the_page_runs_no_script_but_its_own(page: Browser) -> None:
    page.run("""
      document.body.insertAdjacentHTML("beforeend", `<img src="data:," onerror="document.title='broken'">`);
      document.body.append(Object.assign(document.createElement("script"), { text: "document.title = 'broken'" }));
    """)

    assert page.driver.title == "Study bowl · loralab"
    assert any("Content Security Policy" in message for message in page.errors())


def test_a_head_sorts_by_number_both_ways_and_gaps_stay_last(page: Browser) -> None:
    head = next(each for each in found(page, "thead button") if each.text == "validation_loss")

    head.click()
    up = column(page, "validation_loss")
    head.send_keys(Keys.ENTER)
    down = column(page, "validation_loss")

    values = [float(text) for text in up if text]
    assert len(up) == NUM_TRIALS
    assert values == sorted(values)
    assert [float(text) for text in down if text] == sorted(values, reverse=True)
    assert up[len(values) :] == down[len(values) :] == [""] * (NUM_TRIALS - len(values))
    assert head.find_element(By.XPATH, "..").get_attribute("aria-sort") == "descending"


def test_words_and_comparisons_filter_the_table_and_the_charts(page: Browser) -> None:
    typed(page, "rank>=16 state=finished prodigy")

    ranks, optimizers = column(page, "adapter.rank"), column(page, "optimizer")
    kept = set(column(page, "trial"))
    assert 0 < len(ranks) < NUM_TRIALS
    assert min(map(float, ranks)) >= 16
    assert set(optimizers) == {"prodigy"}
    assert found(page, "output")[0].text == f"{len(ranks)} of {NUM_TRIALS} rows"
    shown = page.run(
        "return [...document.querySelectorAll('svg [data-key]:not(.out)')].map((each) => each.dataset.key)"
    )
    assert {key.removeprefix("trial-") for key in shown} <= kept

    typed(page, "out of memory")
    assert len(column(page, "trial")) == 1

    typed(page, "")
    assert len(column(page, "trial")) == NUM_TRIALS
    assert found(page, "svg .out") == []


def test_a_row_is_marked_in_all_charts(page: Browser) -> None:
    button = found(page, "tr[data-key='trial-3'] button.choose")[0]

    button.click()

    assert button.get_attribute("aria-pressed") == "true"
    marked = page.run("return [...document.querySelectorAll('.chart .chosen')].map((e) => e.dataset.key)")
    assert set(marked) == {"trial-3"}
    assert len(marked) >= 4, "in history, curves, front and over each parameter"


def transforms(page: Browser) -> set[str]:
    script = """
      const shown = [...document.querySelectorAll(".gallery img")].filter((img) => img.offsetParent);
      return shown.map((img) => getComputedStyle(img).transform.split(",")[0]);
    """
    return set(page.run(script))


def test_all_pictures_are_enlarged_and_moved_together(page: Browser) -> None:
    gallery, slider = found(page, ".gallery")[0], found(page, "input[type=range]")[0]
    assert transforms(page) == {"matrix(1"}

    ActionChains(page.driver).double_click(found(page, ".frame")[1]).perform()
    assert transforms(page) == {"matrix(4"}
    assert slider.get_attribute("value") == "4"

    before = page.run("return getComputedStyle(document.querySelector('.gallery')).getPropertyValue('--x')")
    ActionChains(page.driver).drag_and_drop_by_offset(found(page, ".frame")[1], -40, 0).perform()
    after = page.run("return getComputedStyle(document.querySelector('.gallery')).getPropertyValue('--x')")
    assert float(after.rstrip("%")) > float(before.rstrip("%"))

    page.run("arguments[0].focus()", gallery)
    ActionChains(page.driver).send_keys("0").perform()
    assert transforms(page) == {"matrix(1"}
    ActionChains(page.driver).send_keys("+").perform()
    assert transforms(page) == {"matrix(1.5"}


def shown_rows(page: Browser) -> list[tuple[str, str]]:
    script = """
      const rows = [...document.querySelectorAll(".gallery figure:not([hidden])")];
      return rows.map((row) => [row.dataset.prompt, row.dataset.seed]);
    """
    return [(prompt, seed) for prompt, seed in page.run(script)]


def test_selectors_choose_prompt_seed_and_noise_level_and_buttons_choose_columns(page: Browser) -> None:
    assert [seed for _, seed in shown_rows(page)] == ["0"] * 3

    Select(found(page, "select[name=seed]")[0]).select_by_visible_text("1")
    Select(found(page, "select[name=prompt]")[0]).select_by_visible_text("a red fox")
    assert shown_rows(page) == [("a red fox", "1")]

    levels = found(page, "select[name=sigma]")[0]
    charts = "return [...document.querySelectorAll('[data-sigma]:not([hidden])')].map((c) => c.dataset.sigma)"
    assert page.run(charts) == ["mean"]
    Select(levels).select_by_visible_text("0.50")
    assert page.run(charts) == ["0.50"]
    Select(levels).select_by_index(0)
    assert len(page.run(charts)) == 4

    base = next(button for button in found(page, ".gallery button") if button.text == "base")
    base.click()
    assert page.run("return document.querySelectorAll('[data-column=base]:not([hidden])').length") == 0
    assert base.get_attribute("aria-pressed") == "false"


def test_a_chart_reads_off_its_points_by_mouse_and_by_keys(page: Browser) -> None:
    chart = found(page, ".chart > svg")[0]
    dot = chart.find_elements(By.CSS_SELECTOR, "circle[data-key='trial-5']")[0]

    ActionChains(page.driver).move_to_element(dot).perform()
    by_mouse = found(page, ".readout")[0].text
    page.run("arguments[0].focus()", chart)
    ActionChains(page.driver).send_keys(Keys.ARROW_RIGHT).perform()
    by_keys = found(page, ".readout")[0].text

    assert by_mouse.startswith("finished: trial 5, validation_loss 0.")
    assert by_keys.startswith("finished: trial 0, validation_loss 0.")


def test_everything_can_be_reached_and_has_a_name(page: Browser) -> None:
    script = """
      const named = (e) => e.textContent.trim() || e.getAttribute("aria-label") || e.labels?.length || e.name;
      return [...document.querySelectorAll("button, select, input, [role=img], [tabindex='0']")]
        .filter((e) => !named(e) && !e.ariaLabel).map((e) => e.outerHTML.slice(0, 80));
    """
    assert page.run(script) == []
    assert page.run("return [...document.images].every((each) => each.alt)")


@pytest.mark.parametrize("is_dark", [False, True])
def test_text_can_be_read_in_both_themes(chromium: Browser, study: Path, is_dark: bool) -> None:
    chromium.resize(WIDE, is_dark=is_dark)
    chromium.open(study)

    ratios = chromium.run("""
      const light = (c) => c.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
        .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
      const paper = light(getComputedStyle(document.body).backgroundColor);
      return Object.fromEntries(["body", ".quiet", ".good", "a", "svg text", "thead button"].map((name) => {
        const style = getComputedStyle(document.querySelector(name));
        const ink = light(name === "svg text" ? style.fill : style.color);
        return [name, (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05)];
      }));
    """)

    assert min(ratios.values()) >= 4.5, f"WCAG AA for text: {ratios}"
