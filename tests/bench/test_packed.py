from bench.packed import _cases, _waves
from bench.packed_tables import tables, trials_per_hour


def row(width: int, ms: float, peak: float, variant: str = "ours") -> dict[str, object]:
    shared = {"device": "H100", "model": "zimage_turbo", "resolution": 512, "rank": 64, "kind": "int8"}
    label = "reference" if variant == "reference" else "int8, selective"
    return {**shared, "variant": variant, "label": label, "width": width, "ms": ms, "peak_gib": peak}


def test_a_pack_is_compared_with_the_reference_and_with_the_same_trial_alone() -> None:
    rows = [row(0, 360.0, 12.0, "reference"), row(0, 180.0, 6.0), row(4, 360.0, 12.6)]

    text = tables(rows)

    assert trials_per_hour(rows[0]) == 10.0
    assert "| int8, selective, one after another | 180 | 20.00 | 2.00 | 1.00 | 6.00 | 0.50 |" in text
    assert "| int8, selective, pack of 4 | 360 | 40.00 | 4.00 | 2.00 | 12.60 | 1.05 |" in text


def test_a_case_that_failed_is_a_row_without_figures() -> None:
    failed = {key: value for key, value in row(16, 0.0, 0.0).items() if key not in ("ms", "peak_gib")}

    assert "pack of 16 | failed: out of memory |" in tables([{**failed, "failed": "out of memory"}])


def test_the_usual_measurement_is_one_wave_and_wide_packs_get_their_own() -> None:
    usual = _cases("zimage_turbo", 512, widths=(1, 4, 8), kinds=("int8",))
    large = _cases("flux2_klein9b", 1024, widths=(1, 2, 4, 8, 16), kinds=("int8",))

    assert len(_waves(usual)) == 1
    assert len(_waves(large)) > 1
    assert [one["width"] for wave in _waves(large) for one in wave] == [0, 0, 1, 2, 4, 8, 16]
