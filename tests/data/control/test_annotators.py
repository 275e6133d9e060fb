import sys
from pathlib import Path

import numpy as np
import pytest

from loralab.data.control import canny, load_annotator
from loralab.errors import UserError

FUNCTIONS = """
import numpy as np

def inverted(frames): return 255 - frames
def floats(frames): return frames / 255
def grey(frames): return frames[..., 0]
def listed(frames): return list(frames)
number = 3
"""


@pytest.fixture
def square() -> np.ndarray:
    frames = np.zeros((2, 48, 64, 3), dtype=np.uint8)
    frames[:, 12:36, 20:44] = (200, 60, 120)
    return frames


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_annotators.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_annotators", raising=False)
    return "own_annotators"


def test_the_edges_of_a_square_are_its_outline_in_white(square: np.ndarray) -> None:
    edges = canny(square)

    assert edges.shape == square.shape and set(np.unique(edges)) == {0, 255}
    assert (edges == edges[..., :1]).all()
    rows, columns = np.nonzero(edges[0, ..., 0])
    assert abs(rows.min() - 12) <= 1 and abs(rows.max() - 35) <= 1
    assert abs(columns.min() - 20) <= 1 and abs(columns.max() - 43) <= 1
    assert not edges[0, 15:33, 23:41].any()


def test_thresholds_decide_what_is_an_edge(square: np.ndarray) -> None:
    faint = square // 8

    assert not canny(faint).any()
    assert canny(faint, low=10, high=20).any()
    with pytest.raises(UserError, match=r"low=300 high=200 must be 0 <= low <= high"):
        canny(square, low=300)


def test_without_opencv_the_way_to_it_is_said(square: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)

    with pytest.raises(UserError, match=r"pip install 'loralab\[control\]'"):
        canny(square)


def test_an_annotator_is_named_by_its_module_path(module: str, square: np.ndarray) -> None:
    annotator = load_annotator(f"{module}:inverted")

    assert (annotator(square) == 255 - square).all()
    assert (load_annotator("loralab.data.control.canny:canny")(square) == canny(square)).all()


def test_another_text_is_another_annotator_to_a_cache(module: str, tmp_path: Path) -> None:
    path = f"{module}:inverted"
    before, again = load_annotator(path).digest, load_annotator(path).digest

    (tmp_path / f"{module}.py").write_text(FUNCTIONS + "\n# more\n")
    del sys.modules[module]

    assert before == again != load_annotator(path).digest


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("floats", r"annotator=own_annotators:floats gave float64, not uint8"),
        ("grey", r"gave the shape 2x48x64, not 2x48x64x3 \(frames, height, width, RGB\)"),
        ("listed", r"gave a list, not a numpy array 2x48x64x3"),
    ],
)
def test_what_an_annotator_gives_is_checked(name: str, message: str, module: str, square: np.ndarray) -> None:
    with pytest.raises(UserError, match=message):
        load_annotator(f"{module}:{name}")(square)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("own_annotators", r"annotator=own_annotators must be package.module:function"),
        ("nowhere.at_all:f", r"nowhere.at_all cannot be imported"),
        ("own_annotators:number", r"has no function number; it has floats, grey, inverted, listed"),
    ],
)
def test_an_annotator_that_is_not_there_is_said(path: str, message: str, module: str) -> None:
    with pytest.raises(UserError, match=message):
        load_annotator(path)
