import json
from pathlib import Path

from bench.packed import KEY, _cases, _in_order, _needs_gib
from bench.packed_tables import tables, trials_per_hour
from bench.packed_wave import OUT_OF_TIME, keep, waves
from bench.shapes import Case


def row(width: int, ms: float, peak: float, variant: str = "ours") -> dict[str, object]:
    shared = {"device": "H100", "model": "zimage_turbo", "resolution": 512, "rank": 64, "kind": "int8"}
    label = "reference" if variant == "reference" else "int8, selective"
    return {**shared, "variant": variant, "label": label, "width": width, "ms": ms, "peak_gib": peak}


ROWS = json.loads((Path(__file__).parents[2] / "docs" / "packed.json").read_text())


def test_a_pack_is_compared_with_the_reference_and_with_the_same_trial_alone() -> None:
    rows = [row(0, 360.0, 12.0, "reference"), row(0, 180.0, 6.0), row(4, 360.0, 12.6)]

    text = tables(rows)

    assert trials_per_hour(rows[0]) == 10.0
    assert "| int8, selective, one after another | 180 | 20.00 | 2.00 | 1.00 | 6.00 | 0.50 |" in text
    assert "| int8, selective, pack of 4 | 360 | 40.00 | 4.00 | 2.00 | 12.60 | 1.05 |" in text


def test_a_case_that_failed_is_a_row_without_figures() -> None:
    failed = {key: value for key, value in row(16, 0.0, 0.0).items() if key not in ("ms", "peak_gib")}

    text = tables([{**failed, "failed": "Traceback:\nout of memory"}])

    assert "pack of 16 | failed: out of memory | | | | | |" in text


def test_a_case_whose_process_never_spoke_still_has_a_line() -> None:
    silent = {**vars(Case("zimage_turbo", kind="int8", rank=64)), "width": 4, "failed": OUT_OF_TIME}

    assert "| int8, pack of 4 | not measured: out of time | | | | | |" in tables([silent])


def test_what_the_goal_is_stated_for_comes_first_and_a_wave_is_small() -> None:
    models = ["zimage_turbo", "flux2_klein9b"]
    cases = [
        one
        for model in models
        for resolution in (512, 1024)
        for one in _cases(model, resolution, (1, 2, 4, 8, 16), kinds=("int8",), shares=(1.0,))
    ]

    found = waves(_in_order(cases, models), most=3, guess_gib=lambda one: 10.0 + one["width"], limit_gib=72.0)

    assert [one["case"].model for wave in found[:2] for one in wave] == [models[0]] * 3 + [models[1]] * 3
    assert [one["width"] for wave in found[:2] for one in wave] == [0, 4, 8, 0, 4, 8]
    assert max(map(len, found)) == 3
    assert sum(map(len, found)) == len(cases)
    assert [one["case"].resolution for wave in found for one in wave] == [512] * 14 + [1024] * 14


def test_a_case_is_given_room_for_what_it_was_measured_to_hold() -> None:
    row = next(
        row for row in ROWS if (row["model"], row["resolution"], row["width"]) == ("flux2_klein9b", 1024, 8)
    )
    own = Case(**{key: row[key] for key in Case.__dataclass_fields__})

    assert row["peak_gib"] + 1 < _needs_gib({"case": own, "width": 8}) < 1.1 * row["peak_gib"] + 1


def test_a_failure_replaces_no_measurement(tmp_path: Path) -> None:
    good = {**vars(Case("zimage_turbo")), "device": "H100", "width": 4, "ms": 1.0}
    bad = {key: value for key, value in good.items() if key != "ms"} | {"failed": OUT_OF_TIME}
    file = tmp_path / "packed.json"

    keep([bad], file, fields=KEY)
    keep([bad, {**bad, "width": 8}], file, fields=KEY)
    keep([good], file, fields=KEY)
    keep([bad], file, fields=KEY)

    assert json.loads(file.read_text()) == [good, {**bad, "width": 8}]
