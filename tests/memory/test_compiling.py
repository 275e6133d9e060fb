"""Compiled or not, the result is the same; what cannot be compiled runs as it is."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from loralab.memory.compiling import Compiled, num_graphs, use_cache_folder


def broken(x: torch.Tensor) -> torch.Tensor:
    """Cannot be compiled as a whole."""
    torch._dynamo.graph_break()
    return x + 1


def test_what_cannot_be_compiled_runs_as_it_is_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    function = Compiled(broken)

    with caplog.at_level(logging.WARNING, logger="loralab.memory.compiling"):
        answers = [function(torch.ones(2)), function(torch.ones(3))]

    assert [answer.tolist() for answer in answers] == [[2, 2], [2, 2, 2]]
    assert [record.message.partition(":")[0] for record in caplog.records] == [
        "compiling failed, training goes on without it (slower)"
    ]


def test_a_mistake_in_the_function_itself_is_not_taken_for_one_of_the_compiler() -> None:
    def mistaken(x: torch.Tensor) -> torch.Tensor:
        return x @ torch.ones(5, 5)

    with pytest.raises(RuntimeError):
        Compiled(mistaken)(torch.ones(2, 2))


def test_compiled_code_is_kept_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)

    use_cache_folder()
    first = Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/elsewhere")
    use_cache_folder()

    assert first == tmp_path / "loralab" / "compiled"
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "/elsewhere"


@pytest.mark.slow
def test_a_function_is_compiled_for_a_first_size_and_once_for_all_others() -> None:
    before, function = num_graphs(), Compiled(lambda x: (x * 2).sum(0))

    answers = [function(torch.ones(size, 3)) for size in (4, 4, 6, 9, 12)]

    assert num_graphs() == before + 2
    assert [int(answer[0]) for answer in answers] == [8, 8, 12, 18, 24]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "kind", "checkpointing", "swapped"),
    [
        ("flux2_klein", "int8", "selective", [0, 1, 2, 3, 4]),
        ("z_image", None, "full", [1, 3]),
    ],
)
def test_compiled_blocks_give_the_same_gradients(
    family: str, kind: str | None, checkpointing: str, swapped: list[int]
) -> None:
    how = {"family": family, "kind": kind, "checkpointing": checkpointing, "swapped": swapped}

    done = subprocess.run(
        [sys.executable, "-m", "tests.memory.compiled", json.dumps(how)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )

    found = json.loads(done.stdout)
    assert "compiling failed" not in done.stderr
    assert found["graphs"] >= 2
    assert max(found["errors"]) < 1e-4
