"""What is heavy is imported where it is used: asking for help must not wait for it, nor a test of something else."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAVY = {"bitsandbytes", "datasets", "diffusers", "matplotlib", "peft", "prodigyopt", "transformers", "wandb"}
HEAVY_AT_THE_DOOR = HEAVY | {"torch", "lightning", "numpy", "PIL"}


def test_no_module_imports_a_heavy_package_when_it_is_imported() -> None:
    modules = sorted((ROOT / "src" / "loralab").rglob("*.py"))

    found = [
        f"{path.relative_to(ROOT)}:{node.lineno} imports {name}"
        for path in modules
        for node, name in _imports(ast.parse(path.read_text()))
        if name in HEAVY
    ]

    assert modules
    assert not found


def test_the_configuration_of_a_command_is_shown_without_heavy_imports() -> None:
    shown = subprocess.run(
        [sys.executable, "-X", "importtime", "train.py", "--cfg", "job", "--resolve"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip

    timed = [line.rsplit("|", 1)[1].strip() for line in shown.stderr.splitlines() if "|" in line]
    imported = {name.split(".")[0] for name in timed}

    assert "_target_: loralab." in shown.stdout
    assert {"hydra", "omegaconf", "loralab"} <= imported
    assert not imported & HEAVY_AT_THE_DOOR


def _imports(tree: ast.Module) -> Iterator[tuple[ast.stmt, str]]:
    """Yields the packages that importing the module imports: not what stands in functions or under TYPE_CHECKING."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from ((node, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node, (node.module or "").split(".")[0]
        elif isinstance(node, ast.ClassDef | ast.Try | ast.With):
            waiting += node.body
        elif isinstance(node, ast.If):
            checking = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
            waiting += node.orelse if checking else [*node.body, *node.orelse]
