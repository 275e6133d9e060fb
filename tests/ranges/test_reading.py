from pathlib import Path

import pytest

from loralab.errors import UserError
from loralab.ranges import read_ranges, read_sweep

GOOD = """
ranges:
  optimizer.lr:
    - when: {optimizer._target_: [AdamW, Other], adapter.alpha: 1}
      low: {value: 1.0e-5, source: here, search_only: true}
      high: {value: 1.0e-4, source: there}
      recommended: {value: 5.0e-5, source: everywhere}
      log: true
search: {optimizer.lr: safe}
overrides: [schedule=constant]
"""


def saved(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


def test_a_file_is_read_as_it_is_written(tmp_path: Path) -> None:
    sweep = read_sweep(saved(tmp_path, GOOD))

    (safe,) = sweep.ranges
    assert safe.low
    assert safe.high
    assert (safe.low.value, safe.low.is_search_only, safe.low.source) == (1e-5, True, "here")
    assert (safe.high.value, safe.high.is_search_only, safe.is_log) == (1e-4, False, True)
    assert safe.when == {"optimizer._target_": ("AdamW", "Other"), "adapter.alpha": (1,)}
    assert (sweep.name, sweep.search, sweep.overrides) == (
        "mine",
        {"optimizer.lr": "safe"},
        ("schedule=constant",),
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("search: {", "serach: {", "serach is no setting; known are ranges, search, when, overrides"),
        ("log: true", "lgo: true", "ranges.optimizer.lr[0].lgo is no setting"),
        ("log: true", "log: 3", "ranges.optimizer.lr[0].log=3 must be true or false"),
        ("source: there", "soruce: there", "ranges.optimizer.lr[0].high.soruce is no setting"),
        (
            "source: there",
            "source: ''",
            "ranges.optimizer.lr[0].high.source must say where the number comes from",
        ),
        ("source: there", "source: 3", "ranges.optimizer.lr[0].high.source=3 must be text"),
        (
            "1.0e-4",
            "1e-4",
            "ranges.optimizer.lr[0].high.value=1e-4 must be a number (YAML takes 1e-4 for text",
        ),
        (
            "5.0e-5",
            "5.0e-4",
            "must rise from low over recommended to high: low=1e-05, recommended=0.0005, high=0.0001",
        ),
        ("1.0e-5", "0", "ranges.optimizer.lr[0].log=true needs numbers above 0"),
        ("recommended: {value: 5.0e-5, source: everywhere}", "", "needs recommended, and low or high"),
        (
            "ranges:\n",
            "ranges:\n  steps: 3\n",
            "ranges.steps must be a list of ranges: begin each with a dash",
        ),
        ("lr: safe", "lr: 3", "search.optimizer.lr=3 must be text"),
        ("[schedule=constant]", "[constant]", "overrides: 'constant' must be text such as schedule=constant"),
        ("[schedule=constant]", "constant", "overrides=constant must be a list"),
    ],
)
def test_a_mistake_is_named_with_file_and_key(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert old in GOOD
    path = saved(tmp_path, GOOD.replace(old, new))

    with pytest.raises(UserError) as caught:
        read_sweep(path)

    assert str(caught.value).startswith(f"{path} cannot be used:\n  - ")
    assert message in str(caught.value)


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    path = saved(tmp_path, GOOD.replace("source: here", "x: 1").replace("lr: safe", "lr: 3"))

    with pytest.raises(UserError) as caught:
        read_sweep(path)

    assert str(caught.value).count("\n  - ") == 3


@pytest.mark.parametrize("text", ["", "- a list", "ranges: {a: [1]}"])
def test_what_is_no_such_file_at_all_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="must have the keys"):
        read_sweep(saved(tmp_path, text))


def test_broken_yaml_is_named_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"mine.yaml is no YAML: (?s:.*)line 1"):
        read_sweep(saved(tmp_path, "a: [1"))


def test_an_unknown_sweep_names_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"sweep=flux3: .*known are flux2_klein4b, .*nano_klein"):
        read_sweep("flux3")


def test_a_model_of_ones_own_has_no_ranges_and_is_not_guarded() -> None:
    assert read_ranges("my_own_model") == ()
