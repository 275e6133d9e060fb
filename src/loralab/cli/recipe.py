"""`python -m loralab recipe [name]`: the documented recipes, and where each of their values comes from.

recipe                            lists them
recipe flux2_klein9b_identity     its values, their sources, and who says otherwise

`python train.py experiment=<name>` trains by one; every value can be set beside it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from loralab.cli.arguments import typed
from loralab.cli.compose import composed_run
from loralab.ranges import SafeRange, applicable, read_ranges
from loralab.ranges.recipe import Recipe, Sourced, read_recipe, recipe_names

SHOWN = (
    "model", "optimizer", "optimizer.lr", "adapter.rank", "adapter.alpha", "adapter.targets", "steps",
    "run.save_every", "batch_size", "dataset.resolutions",
)  # fmt: skip
"""What every recipe is asked about, set by it or not."""
OF_THE_MODEL = {"optimizer.lr": "lr", "adapter.rank": "rank", "steps": "num_steps"}
"""Keys whose value is the model's own recipe unless something else is said."""
LABEL = "name"
"""Of the runs' folder; says nothing about training."""
PLACE = "."
"""Stands for folders that a recipe leaves to its user."""
WIDTH = 110


@dataclass(frozen=True)
class Row:
    """A value as a run will have it.

    Attributes:
        key, value: of the configuration.
        source: where it comes from; empty for loralab's own defaults.
        conflict: who says otherwise.
        safe: its safe range, or None.
    """

    key: str
    value: str
    source: str
    conflict: str | None
    safe: SafeRange | None = None


def main(arguments: Sequence[str]) -> None:
    """Prints the list, or one recipe."""
    lines = described(typed(arguments, command="recipe", known=())["name"]) if arguments else listed()
    for line in lines:
        print(line)


def listed() -> Iterator[str]:
    """Yields a line for every recipe."""
    names = recipe_names()
    width = max(map(len, names))
    yield from (f"{name:{width}}  {read_recipe(name).sentence}" for name in names)
    yield "python -m loralab recipe <name>: where each value is from. python train.py experiment=<name>: trains by it."


def described(name: str) -> Iterator[str]:
    """Yields a recipe's values with their sources."""
    recipe = read_recipe(name)
    yield f"{name}: {recipe.sentence}"
    yield from (f"  {command}" for command in recipe.commands)
    for row in rows(recipe):
        limits = "" if row.safe is None else f"   safe range {row.safe}"
        yield f"\n{row.key}={row.value}{limits}"
        yield from _wrapped("source", row.source or "loralab's default")
        if row.conflict:
            yield from _wrapped("conflict", row.conflict)


def rows(recipe: Recipe) -> Iterator[Row]:
    """Yields what a run by this recipe has: what every recipe is asked about, then the rest that it sets."""
    config, own = composed_recipe(recipe), recipe.every()
    ranges = applicable(read_ranges(config.model.name), partial(OmegaConf.select, config))
    for key in dict.fromkeys((*SHOWN, *own)):
        if key != LABEL and (key in own or OmegaConf.select(config, key) is not None):
            yield _row(key, own.get(key), config=config, ranges=ranges)


def composed_recipe(recipe: Recipe) -> DictConfig:
    """Gives the configuration of a run by this recipe; folders that its user must name are stand-ins."""
    config = composed_run([f"experiment={recipe.name}"])
    for key in OmegaConf.missing_keys(config):
        OmegaConf.update(config, key, PLACE)
    return config


def _row(key: str, own: Sourced | None, *, config: DictConfig, ranges: Mapping[str, SafeRange]) -> Row:
    value, safe = _value(key, config), ranges.get(key)
    if own is not None:
        shown = "(yours to name)" if own.value == "???" else value
        return Row(key, shown, own.source, own.conflict, safe)
    if safe is not None and OmegaConf.select(config, key) == safe.recommended.value:
        return Row(key, value, safe.recommended.source, None, safe)
    model = config.model.recipe
    is_models = key in OF_THE_MODEL and OmegaConf.select(config, key) == model.get(OF_THE_MODEL[key])
    return Row(key, value, str(model.source) if is_models else "", None, safe)


def _value(key: str, config: DictConfig) -> str:
    """Gives a value as typed; of a choice the name of what was chosen."""
    value: Any = OmegaConf.select(config, key)
    if isinstance(value, ListConfig):
        return str(OmegaConf.to_container(value, resolve=True))
    if not isinstance(value, DictConfig):
        return str(value)
    name = value.get("name") or str(value.get("_target_", "")).rsplit(".", 1)[-1]
    return str(value.get("precision") or name)


def _wrapped(label: str, text: str) -> list[str]:
    indent = "    "
    return textwrap.wrap(
        f"{label:9} {text}", WIDTH, initial_indent=indent, subsequent_indent=indent + " " * 10
    )
