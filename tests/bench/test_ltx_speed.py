"""The bench of LTX-2.3: which cases it chooses, how they share a card, its table, and its path on tiny sizes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bench.ltx_cases import ClipCase, all_cases
from bench.ltx_speed import chosen, table
from bench.packed_wave import OUT_OF_TIME, waves

ROOT = Path(__file__).parents[2]


def row(case: ClipCase, **figures: object) -> dict[str, object]:
    return {**vars(case), "label": case.label, "device": "H200", **figures}


def test_cases_have_the_tokens_that_the_family_makes_of_their_clips() -> None:
    cases = all_cases()

    assert [cases[name].tokens for name in ("video.int8", "short.int8")] == [4032, 3570]
    assert [cases[name].audio_tokens for name in ("video.int8", "audio.int8", "short_audio.int8")] == [
        1,
        93,
        52,
    ]
    assert {case.prompt_tokens for case in cases.values()} == {1024}


def test_patterns_choose_in_their_order_and_the_first_wave_is_what_the_goal_is_stated_for() -> None:
    found = chosen(["*.fp8", "video.*"])

    assert next(iter(found)) == "video.fp8"
    assert len(found) == len(set(found)) == 4 + 7
    with pytest.raises(ValueError, match="no such case"):
        chosen(["picture.*"])
    wave = waves(
        list(chosen(["*"]).values()), most=4, guess_gib=lambda case: case.guessed_gib, limit_gib=139.0
    )[0]
    assert [case.label for case in wave][:2] == ["reference", "int8, full"]
    assert wave[-1].cap_gib == 24


def test_a_row_is_compared_with_the_reference_of_its_own_clip() -> None:
    cases = all_cases()
    rows = [
        row(
            cases["video.reference"],
            ms=1200.0,
            ms_min=1100.0,
            peak_gib=40.0,
            reserved_gib=42.0,
            idle_share=0.015,
        ),
        row(cases["video.reference_compiled"], ms=800.0, ms_min=790.0, peak_gib=39.0),
        row(cases["video.int8"], ms=600.0, ms_min=550.0, peak_gib=24.0),
        row(cases["audio.int8"], ms=700.0, ms_min=690.0, peak_gib=26.0),
        row(cases["video.fp8"], failed=OUT_OF_TIME),
        row(cases["video.bf16"], failed="Traceback:\nout of memory"),
    ]

    text = table(rows)

    assert (
        "| 768x448x89, video | reference | 1200 (1100) | 1.00 (1.00) | 40.00 | 1.00 | 42.00 | 1.5% |" in text
    )
    assert (
        "| 768x448x89, video | reference, compiled blocks | 800 (790) | 1.50 (1.39) | 39.00 | 0.97 |  |  |"
        in text
    )
    assert "| 768x448x89, video | int8, full | 600 (550) | 2.00 (2.00) | 24.00 | 0.60 |  |  |" in text
    assert "| 768x448x89, video and sound | int8, full | 700 (690) |  | 26.00 |  |  |  |" in text
    assert "| fp8, full | not measured: out of time | | | | | |" in text
    assert "| bf16, full | failed: out of memory | | | | | |" in text


@pytest.mark.slow
def test_the_whole_path_on_tiny_sizes(tmp_path: Path) -> None:
    out = tmp_path / "rows.json"
    asked = ["--tiny", "--cases", "video.reference", "video.int8", "audio.int8_24gib", "--out", str(out)]

    subprocess.run([sys.executable, str(ROOT / "bench" / "ltx_speed.py"), *asked], check=True)

    reference, own, both = sorted(json.loads(out.read_text()), key=lambda row: (row["audio"], row["kind"]))
    assert reference["adapted_layers"] == own["adapted_layers"] == 3 * 10
    assert both["adapted_layers"] == 3 * 28
    for measured, attentions in ((own, 2), (both, 6)):
        assert measured["num_graphs"] == 1  # for all blocks
        assert measured["low_bit_layers"] == measured["adapted_layers"]
        assert measured["dense_layers"] == 3 * attentions  # gates
    assert all(measured["ms"] > 0 for measured in (reference, own, both))
