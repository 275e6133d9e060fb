"""The import contracts of pyproject.toml hold, and each of them notices when it is broken."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BREAKAGES = [
    ("floors", "flow", "import loralab.errors"),
    ("floors", "data", "import loralab.adapter"),
    ("floors", "optim", "import loralab.memory"),
    ("floors", "adapter", "import loralab.denoiser"),
    ("floors", "denoiser", "import loralab.families"),
    ("floors", "objectives", "import loralab.evaluation"),
    ("floors", "training", "import loralab.run"),
    ("floors", "a_module_without_a_floor", ""),
    ("nobody-imports-a-family", "evaluation", "import loralab.families.z_image"),
    ("nobody-imports-a-family", "run", "from loralab.families import flux2_klein"),
    ("families-are-independent", "families.z_image", "import loralab.families.flux2_klein"),
    ("families-are-independent", "families.shared", "import loralab.families.flux2_klein"),
    ("configuration-stops-at-the-front-door", "data", "def late():\n    from omegaconf import OmegaConf"),
    ("configuration-stops-at-the-front-door", "families.z_image", "import hydra.utils"),
]


def test_the_contracts_hold() -> None:
    checked = _lint(ROOT / "src")

    assert checked.returncode == 0, checked.stdout
    assert "4 kept, 0 broken" in checked.stdout


@pytest.mark.parametrize(("contract", "module", "line"), BREAKAGES)
def test_breaking_a_contract_is_noticed(contract: str, module: str, line: str, tmp_path: Path) -> None:
    source = tmp_path / "src"
    shutil.copytree(ROOT / "src", source, ignore=_all_but_code)

    path = source.joinpath("loralab", *module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    path.write_text(f"{path.read_text() if path.exists() else ''}\n{line}\n")
    checked = _lint(source, "--contract", contract)

    assert checked.returncode == 1
    assert "0 kept, 1 broken" in checked.stdout or "a_module_without_a_floor" in checked.stdout


def _lint(source: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the linter over the package below `source` with the project's contracts."""
    program = f"import sys; sys.path.insert(0, {str(source)!r}); import importlinter.cli as c; c.lint_imports_command()"
    options = ["--no-cache", "--no-logo", "--config", str(ROOT / "pyproject.toml"), *arguments]
    command = [sys.executable, "-c", program, *options]
    return subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)


def _all_but_code(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if not name.endswith(".py") and not (Path(folder) / name).is_dir()]
