"""What is wrong with a file of `sweeps/`, each problem with the place in the file and the way out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from loralab.ranges.safe import is_number

FILE = {"ranges": dict, "search": dict, "when": dict, "overrides": list}
RANGE = {"when": dict, "low": dict, "high": dict, "recommended": dict, "log": bool}
BOUND = {"value": object, "source": str, "search_only": bool}
WORDS = {dict: "values by key", list: "a list", bool: "true or false", str: "text"}


def problems_of(content: Any) -> Iterator[str]:
    """Yields everything that is wrong with a file's content."""
    if problems := list(_misshapen("the file", content, FILE, prefix="")):
        yield from problems
        return
    for key, entries in content.get("ranges", {}).items():
        if not isinstance(entries, list):
            yield f"ranges.{key} must be a list of ranges: begin each with a dash"
            continue
        for index, entry in enumerate(entries):
            yield from _of_range(f"ranges.{key}[{index}]", entry)
    for key, text in content.get("search", {}).items():
        if not isinstance(text, str):
            yield f"search.{key}={text} must be text such as safe or 'choice(8,16)'"
    for key, choices in content.get("when", {}).items():
        if not isinstance(choices, dict) or not all(isinstance(inner, dict) for inner in choices.values()):
            yield f"when.{key} must be settings by choice: {{prodigy: {{optimizer.d_coef: 'interval(0.5,2)'}}}}"
    for line in content.get("overrides", []):
        if not isinstance(line, str) or "=" not in line:
            yield f"overrides: {line!r} must be text such as schedule=constant"


def _of_range(where: str, entry: Any) -> Iterator[str]:
    if problems := list(_misshapen(where, entry, RANGE)):
        yield from problems
        return
    if "recommended" not in entry or not {"low", "high"} & set(entry):
        yield f"{where} needs recommended, and low or high"
    bounds = {name: entry[name] for name in ("low", "recommended", "high") if name in entry}
    problems = [problem for name, bound in bounds.items() for problem in _of_bound(f"{where}.{name}", bound)]
    yield from problems or _of_order(where, {name: bound["value"] for name, bound in bounds.items()})
    if entry.get("log") and not problems and any(bound["value"] <= 0 for bound in bounds.values()):
        yield f"{where}.log=true needs numbers above 0"


def _of_bound(where: str, bound: Mapping[str, Any]) -> Iterator[str]:
    yield from _misshapen(where, bound, BOUND)
    value = bound.get("value")
    if not is_number(value):
        yield f"{where}.value={value} must be a number (YAML takes 1e-4 for text: write 1.0e-4)"
    if not str(bound.get("source", "")).strip():
        yield f"{where}.source must say where the number comes from"


def _of_order(where: str, values: Mapping[str, float]) -> Iterator[str]:
    if list(values.values()) != sorted(values.values()):
        listed = ", ".join(f"{name}={value}" for name, value in values.items())
        yield f"{where} must rise from low over recommended to high: {listed}"


def _misshapen(
    where: str, given: Any, known: Mapping[str, type], *, prefix: str | None = None
) -> Iterator[str]:
    """Yields what is no mapping, has unknown keys, or values of another kind."""
    if not isinstance(given, dict):
        yield f"{where} must have the keys {', '.join(known)}"
        return
    prefix = f"{where}." if prefix is None else prefix
    for key, value in given.items():
        if key not in known:
            yield f"{prefix}{key} is no setting; known are {', '.join(known)}"
        elif not isinstance(value, known[key]):
            yield f"{prefix}{key}={value} must be {WORDS[known[key]]}"
