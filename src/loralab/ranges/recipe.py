"""Reads a recipe, a file of `conf/experiment/`: its values, and where each comes from.

Hydra composes the file; what stands in its comments is read here. The comment behind a value, with the comment lines
below it, is the value's source; after `conflict:` it says who disagrees:

optimizer:
  lr: 5.0e-5      # AIMusicGeneration Research 2026-03-24
                  # conflict: OneTrainer takes 3e-5, at alpha 1
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from loralab.errors import UserError

RECIPES = Path(__file__).parents[3] / "conf" / "experiment"
COMMENT = re.compile(r"(?:^|\s)#\s?(.*)$")
CONFLICT = "conflict:"
COMMAND = "python train.py"
CHOICE = re.compile(r"override /(?P<group>[\w/]+)(@.*)?")


@dataclass(frozen=True)
class Sourced:
    """A value of a recipe.

    Attributes:
        key: dotted; of a choice the group, as `optimizer`.
        value: as written; of a choice the file's name.
        source: document, trainer or measurement that it is from; empty where the file says nothing.
        conflict: who says otherwise, or None.
    """

    key: str
    value: Any
    source: str
    conflict: str | None


@dataclass(frozen=True)
class Recipe:
    """A file of `conf/experiment/`.

    Attributes:
        name: what `experiment=` takes.
        sentence: what it is for.
        commands: lines that use it.
        bases: recipes that it starts from, the first one first.
        values: what it sets itself, in its order.
    """

    name: str
    sentence: str
    commands: tuple[str, ...]
    bases: tuple[str, ...]
    values: tuple[Sourced, ...]

    def every(self) -> dict[str, Sourced]:
        """Gives its values with those of its bases by key; the last word counts."""
        found: dict[str, Sourced] = {}
        for base in self.bases:
            found |= read_recipe(base).every()
        return found | {value.key: value for value in self.values}


def recipe_names() -> list[str]:
    """Names all recipes."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def read_recipe(name: str) -> Recipe:
    """Reads a recipe by its name.

    Raises:
        UserError: if there is none of this name.
    """
    path = RECIPES / f"{name}.yaml"
    if name not in recipe_names():
        raise UserError(f"there is no recipe {name}; known are {', '.join(recipe_names())}")
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    root = yaml.compose(text)
    assert isinstance(root, yaml.MappingNode)
    entries = list(_entries(root))
    ends = [line for _, _, line in entries[1:]] + [len(lines)]
    head = [_comment(line) for line in lines[: root.start_mark.line]]
    return Recipe(
        name=name,
        sentence=head[1],
        commands=tuple(line.strip() for line in head if COMMAND in line),
        bases=tuple(value for key, value, _ in entries if key == ""),
        values=tuple(
            _sourced(key, value, " ".join(filter(None, map(_comment, lines[line:end]))))
            for (key, value, line), end in zip(entries, ends, strict=True)
            if key
        ),
    )


def _entries(node: yaml.MappingNode, prefix: str = "") -> Iterator[tuple[str, Any, int]]:
    """Yields key, value and line of everything that is set; a base has no key."""
    for key, value in node.value:
        path = f"{prefix}{key.value}"
        if path == "defaults":
            yield from (_choice(item) for item in value.value if item.value != "_self_")
        elif isinstance(value, yaml.MappingNode):
            yield from _entries(value, f"{path}.")
        else:
            yield path, yaml.safe_load(yaml.serialize(value)), key.start_mark.line


def _choice(node: yaml.Node) -> tuple[str, Any, int]:
    """Reads an entry of the defaults list: a base, or the choice of another file of a group."""
    if isinstance(node, yaml.ScalarNode):
        return "", node.value, node.start_mark.line
    key, value = node.value[0]
    match = CHOICE.fullmatch(key.value)
    assert match is not None, key.value
    return match["group"], value.value, node.start_mark.line


def _comment(line: str) -> str:
    match = COMMENT.search(line)
    return match[1] if match else ""


def _sourced(key: str, value: Any, comment: str) -> Sourced:
    source, _, conflict = comment.partition(CONFLICT)
    return Sourced(key, value, source.strip(" .;"), conflict.strip() or None)
