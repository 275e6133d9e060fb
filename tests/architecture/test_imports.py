"""What is heavy is imported where it is used: asking for help must not wait for it, nor a test of something else."""

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
HEAVY = {"bitsandbytes", "datasets", "diffusers", "matplotlib", "peft", "prodigyopt", "transformers", "wandb"}
HEAVY_AT_THE_DOOR = HEAVY | {"torch", "lightning", "numpy", "PIL"}


def test_no_module_imports_a_heavy_package_when_it_is_imported() -> None:
    modules = sorted((ROOT / "src" / "loralab").rglob("*.py"))

    found = [
        f"{path.relative_to(ROOT)}:{node.lineno} imports {name}"
        for path in modules
        for node, name in _imports(path)
        if _package(name) in HEAVY
    ]

    assert modules
    assert not found


@pytest.fixture(scope="module")
def shown() -> subprocess.CompletedProcess[str]:
    """What a run on pictures is made of, and what showing it imports."""
    return subprocess.run(
        [sys.executable, "-X", "importtime", "train.py", "--cfg", "job", "--resolve"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip


def test_the_configuration_of_a_command_is_shown_without_heavy_imports(
    shown: subprocess.CompletedProcess[str],
) -> None:
    timed = [line.rsplit("|", 1)[1].strip() for line in shown.stderr.splitlines() if "|" in line]
    imported = {_package(name) for name in timed}

    assert "_target_: loralab." in shown.stdout
    assert {"hydra", "omegaconf", "loralab"} <= imported
    assert not imported & HEAVY_AT_THE_DOOR


def test_a_run_on_pictures_does_not_import_what_reads_videos(shown: subprocess.CompletedProcess[str]) -> None:
    targets = re.findall(r"_target_: (loralab\S+)", shown.stdout)

    reached = _reached({"loralab.run", *targets})

    assert {"loralab.data.dataset", "loralab.families.flux2_klein", "loralab.data.video.footage"} <= reached
    assert [name for name in sorted(reached) if _package(name) == "av"] == []


def _reached(names: Iterable[str]) -> set[str]:
    """Gives all names that importing these imports, by way of our modules; a name in a module counts as that."""
    waiting, reached = list(names), set[str]()
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            parent = name.rpartition(".")[0]
            waiting += [parent] if parent else []
            waiting += [imported for _, imported in _imports(path)] if (path := _file(name)) else []
    return reached


def _file(name: str) -> Path | None:
    """Gives the file of a module of ours, None for any other name."""
    path = SOURCE.joinpath(*name.split("."))
    places = (path / "__init__.py", path.with_suffix(".py"))
    return next((place for place in places if place.is_file()), None)


def _package(name: str) -> str:
    return name.split(".")[0]


@functools.cache
def _imports(path: Path) -> list[tuple[ast.stmt, str]]:
    return list(_imported(ast.parse(path.read_text())))


def _imported(tree: ast.Module) -> Iterator[tuple[ast.stmt, str]]:
    """Yields what importing the module imports: not what stands in functions or under TYPE_CHECKING."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.ClassDef | ast.Try | ast.With):
            waiting += node.body
        elif isinstance(node, ast.If):
            checking = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
            waiting += node.orelse if checking else [*node.body, *node.orelse]
