"""Overrides as an experiment file: what `python train.py a=b c.d=e` does, under a name that `experiment=` takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from loralab.config import CONF
from loralab.errors import UserError
from loralab.files import atomic_write


def write_experiment(folder: Path, name: str, *, overrides: Sequence[str], sentence: str) -> Path:
    """Writes `<folder>/experiment/<name>.yaml`; returns its path.

    Raises:
        UserError: for an override that a file cannot say: one that deletes.
    """
    head = [
        "# @package _global_",
        f"# {sentence}",
        f"#   python train.py --config-dir '{folder}' experiment={name}",
    ]
    text = "\n".join([*head, experiment_text(overrides)])
    return atomic_write(folder / "experiment" / f"{name}.yaml", text)


def experiment_text(overrides: Sequence[str]) -> str:
    """Gives the YAML: choices of groups as overrides of the defaults list, values under nested keys."""
    bases: list[Any] = []
    choices: list[Any] = []
    values = OmegaConf.create()
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key, value = override.key_or_group, override.value()
        if override.is_delete():
            raise UserError(f"{override.input_line}: an experiment file cannot delete")
        if key == "experiment":
            bases = value if isinstance(value, list) else [value] * (value is not None)
        elif (CONF / key).is_dir():
            at = "" if override.package is None else f"@{override.package}"
            choices.append({f"override /{key}{at}": value})
        else:
            OmegaConf.update(values, key, value, force_add=True)
    defaults = OmegaConf.create({"defaults": [*bases, *choices, "_self_"]})
    return "".join(OmegaConf.to_yaml(each) for each in (defaults, values) if each)
