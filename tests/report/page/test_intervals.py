import itertools

from loralab.report.page.intervals import Estimate, interval_chart


def test_a_long_name_has_lines_of_its_own_and_none_is_drawn_over_another() -> None:
    names = (
        "rank=64, regularisation=with - regularisation=with",
        "rank=64, regularisation=without",
        "rank=4",
    )

    chart = interval_chart([Estimate(name, 1.0, 0.5, 1.5) for name in names], title="t", x_label="x")

    lines = [line for bar in chart.bars for _, line in bar.label]
    places = [place for bar in chart.bars for place, _ in bar.label]
    assert lines[:3] == ["rank=64,", "regularisation=with", "- regularisation=with"]
    assert lines[3:] == ["rank=64,", "regularisation=witho…", "rank=4"]
    assert all(later - earlier >= 15 for earlier, later in itertools.pairwise(places))
    assert chart.bars[-1].y < chart.height
