"""What a run left in its folder, read for a page; every file may be missing."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Source:
    """A picture's file and where it belongs: in which column of which row."""

    path: Path
    column: str
    prompt: str
    seed: int | None = None


@dataclass(frozen=True)
class File:
    """A file, or a folder with all that is in it."""

    path: str
    size: str


def json_file(path: Path) -> dict[str, Any]:
    """Gives the content, or nothing if there is no such file."""
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found if isinstance(found, dict) else {}


def metrics(folder: Path) -> list[dict[str, Any]]:
    """Gives the lines of metrics.jsonl."""
    from loralab.loggers.jsonl import read_metrics  # brings the trainer along, which no study needs

    path = folder / "metrics.jsonl"
    return read_metrics(path) if path.is_file() else []


def settings(folder: Path) -> dict[str, str]:
    """Gives the resolved configuration under dotted keys."""
    path = folder / "config.yaml"
    config = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return dict(flat(config or {}))


def command(folder: Path) -> str:
    """Gives the line that repeats the run, as one would type it."""
    path = folder / "overrides.yaml"
    overrides = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else []
    return " ".join(["python train.py", *(_quoted(str(override)) for override in overrides or [])])


def previews(folder: Path) -> list[Source]:
    """Lists a run's previews, row by row."""
    index = json_file(folder / "previews" / "index.json")
    return [
        Source(folder / "previews" / name / f"{number:02d}.png", name, row["prompt"], row["seed"])
        for number, row in enumerate(index.get("rows", []))
        for name in index["columns"]
    ]


def relative(path: Path, folder: Path) -> str:
    """Gives the address of a file from a page in `folder`."""
    return Path(os.path.relpath(path, folder)).as_posix()


def files(folder: Path) -> list[File]:
    """Lists the run's files with their sizes; folders of loggers and previews are one entry each."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_file():
            found.append(File(path.name, size_of(path.stat().st_size)))
        elif path.name == "snapshots":
            found += [
                File(f"snapshots/{each.name}", size_of(each.stat().st_size))
                for each in sorted(path.iterdir())
            ]
        else:
            total = sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
            found.append(File(f"{path.name}/", size_of(total)))
    return found


def size_of(num_bytes: float) -> str:
    """Gives a size in words: 3.2 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000 or unit == "GB":
            break
        num_bytes /= 1000
    return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"


def _quoted(text: str) -> str:
    """Quotes for a shell, with double quotes where those are easier to read."""
    quoted = shlex.quote(text)
    return f'"{text}"' if quoted != text and not set(text) & set('"$`\\!') else quoted


def flat(value: Any, *, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Gives the leaves of nested mappings under dotted keys, as text."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from flat(inner, prefix=f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        yield prefix, value if isinstance(value, str) else json.dumps(value, default=str)
