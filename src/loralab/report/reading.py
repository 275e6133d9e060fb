"""What a run left in its folder, read for a page; every file may be missing."""

from __future__ import annotations

import base64
import io
import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

LARGEST_SIDE = 512
LOG_FOLDERS = ("wandb", "tensorboard", "csv")


@dataclass(frozen=True)
class Picture:
    """A picture for a page: its address, its name, and whether enlarging must keep its pixels."""

    source: str
    name: str
    is_small: bool


@dataclass(frozen=True)
class PreviewRow:
    """A prompt and the pictures drawn for it."""

    prompt: str
    seed: int
    pictures: tuple[Picture, ...]


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
    return dict(_flat(config or {}))


def command(folder: Path) -> str:
    """Gives the line that repeats the run, as one would type it."""
    path = folder / "overrides.yaml"
    overrides = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else []
    return " ".join(["python train.py", *(_quoted(str(override)) for override in overrides or [])])


def preview_rows(folder: Path) -> list[PreviewRow]:
    """Gives the previews with their pictures inside."""
    index = json_file(folder / "previews" / "index.json")
    rows = []
    for number, row in enumerate(index.get("rows", [])):
        paths = {name: folder / "previews" / name / f"{number:02d}.png" for name in index["columns"]}
        pictures = tuple(embedded(path, name=name) for name, path in paths.items() if path.is_file())
        rows.append(PreviewRow(row["prompt"], row["seed"], pictures))
    return rows


def embedded(path: Path, *, name: str) -> Picture:
    """Gives a picture as a data address: as it is, or reduced to a JPEG where it is large."""
    with Image.open(path) as image:
        size = image.size
        if max(size) <= LARGEST_SIDE:
            kind, data = "png", path.read_bytes()
        else:
            reduced = image.convert("RGB")
            reduced.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.LANCZOS)
            buffer = io.BytesIO()
            reduced.save(buffer, format="JPEG", quality=90)
            kind, data = "jpeg", buffer.getvalue()
    address = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return Picture(address, name, is_small=max(size) <= 128)


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


def _flat(value: Any, *, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, prefix=f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        yield prefix, value if isinstance(value, str) else json.dumps(value, default=str)
