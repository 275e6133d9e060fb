"""Measures how long a browser takes to load the page of a study of 200 trials.

    python bench/report_load.py --out docs/report_load.json

The study is filled through its real storage, with plausible values; its recipe and its best trials have run folders
with pictures that hardly compress, so that the page is as large as its budget lets it become. Each load is one of the
file in a headless Chromium with an empty profile; times are those of its navigation timing, from the start of the
navigation to the end of the load event, after which every table can be sorted and every chart pointed at. `cpu_ms` is
what the page's own thread computed in the meantime, which other work on the machine does not lengthen. Needs chromium
and chromedriver (Debian: chromium-driver).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.browser import PHONE, WIDE, Browser, browser  # noqa: E402
from tests.report.page.fixtures import stored_study  # noqa: E402

from loralab.files import atomic_write  # noqa: E402
from loralab.report.page.study import write_study_page  # noqa: E402
from loralab.report.study import summarized  # noqa: E402

SIDE = 512
TIMES = """
  const entry = performance.getEntriesByType("navigation")[0];
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  return {
    first_paint_ms: paint ? paint.startTime : null, interactive_ms: entry.domInteractive, load_ms: entry.loadEventEnd,
  };
"""
LIMIT_MS = 2000


def main() -> None:
    """Makes study and page, loads the page at both widths, prints and writes what that took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--loads", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        study = stored_study(Path(root), options.trials, num_runs=4, side=SIDE)
        start = time.perf_counter()
        page = write_study_page(summarized(study), Path(root) / study.study_name)
        found: dict[str, Any] = {
            "num_trials": len(study.trials),
            "page_mb": round(page.stat().st_size / 1e6, 2),
            "written_in_s": round(time.perf_counter() - start, 1),
            "limit_ms": LIMIT_MS,
            "cpu_cores": os.cpu_count(),
            "load_average": round(os.getloadavg()[0], 1),
            **{
                name: _loads(page, size, options.loads) for name, size in (("1280px", WIDE), ("390px", PHONE))
            },
        }
    print(json.dumps(found, indent=1))
    if options.out:
        atomic_write(options.out, json.dumps(found, indent=1) + "\n")
    slowest = max(found[name]["load_ms"]["max"] for name in ("1280px", "390px"))
    sys.exit(f"the slowest load took {slowest:.0f} ms, above {LIMIT_MS} ms" if slowest > LIMIT_MS else 0)


def _loads(page: Path, size: tuple[int, int], num_loads: int) -> dict[str, Any]:
    """Gives median and maximum of each time, every load in a new browser."""
    loads = []
    for _ in range(num_loads):
        with browser() as chromium:
            chromium.resize(size)
            chromium.driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
            loads.append({**chromium.open(page).run(TIMES), "cpu_ms": _cpu_ms(chromium)})
            assert chromium.errors() == []
    return {
        name: {"median": round(statistics.median(times)), "max": round(max(times))}
        for name in loads[0]
        if (times := [load[name] for load in loads if load[name] is not None])
    }


def _cpu_ms(chromium: Browser) -> float:
    """Gives the time that the page's thread was computing."""
    found = chromium.driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return 1000 * next(each["value"] for each in found if each["name"] == "TaskDuration")


if __name__ == "__main__":
    main()
