"""The JSON of tracks, in one of two forms.

Drawn by hand, in shares of the picture (x to the right, y downwards, both from 0 to 1 inside it):

    {"tracks": [{"nodes": [[0.2, 0.7], [0.5, 0.4], [0.8, 0.7]]}, {"nodes": [[0.1, 0.9]]}]}

A point tracker's output for a clip, in its pixels; a row for each frame and in it an entry for each point:

    {"width": 832, "height": 480, "points": [[[166.4, 336.0], ...], ...], "visible": [[true, ...], ...]}

Nothing else may stand in the file. A position may lie outside the picture by at most its width or height, so that
things can enter and leave; where a tracker's point is hidden its position is not looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from loralab.data.control.tracks import PointTrack, SplineTrack, Track
from loralab.errors import UserError, joined

SPLINES = ("tracks",)
TRACKER = ("height", "points", "visible", "width")
LEAST, LARGEST = -1.0, 2.0
"""Positions in shares of the picture. Pixels that were not divided by its size are larger almost everywhere."""
SHOWN = 10


def read_tracks(path: str | Path) -> tuple[Track, ...]:
    """Reads either form.

    Raises:
        UserError: the file cannot be read, is no JSON, or has other keys, no track, or values out of range.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}). Give the JSON file of tracks.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON: {error}") from error
    return parse_tracks(content, source=str(path))


def parse_tracks(content: Any, *, source: str) -> tuple[Track, ...]:
    """Reads either form from what JSON holds; `source` names it in messages.

    Raises:
        UserError: with every problem: its key, the value, the limit and the way out.
    """
    keys = set(content) if isinstance(content, dict) else set()
    if keys == set(SPLINES):
        problems = list(_spline_problems(content["tracks"]))
    elif keys == set(TRACKER):
        problems = list(_tracker_problems(content))
    else:
        problems = [_wrong_keys(content)]
    if problems:
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        raise UserError(f"{source} holds no usable tracks:\n{joined(problems[:SHOWN] + more)}")
    return _splines(content["tracks"]) if keys == set(SPLINES) else _points(content)


def _wrong_keys(content: Any) -> str:
    found = f"the keys {', '.join(sorted(content)) or '(none)'}" if isinstance(content, dict) else "no object"
    return (
        f'there is {found}, where either {{"tracks": [{{"nodes": [[x, y], ...]}}]}} is expected, or a point tracker\'s '
        f"{', '.join(TRACKER)}"
    )


def _spline_problems(tracks: Any) -> Iterator[str]:
    if not isinstance(tracks, list) or not tracks:
        yield f"tracks={_short(tracks)} must be a list of at least one track"
        return
    for index, track in enumerate(tracks):
        key = f"tracks[{index}]"
        if not isinstance(track, dict) or set(track) != {"nodes"}:
            yield f'{key}={_short(track)} must have the key "nodes" and no other'
        elif not isinstance(track["nodes"], list) or not track["nodes"]:
            yield f"{key}.nodes={_short(track['nodes'])} must be a list of at least one [x, y]"
        else:
            for number, node in enumerate(track["nodes"]):
                yield from _position_problems(node, key=f"{key}.nodes[{number}]")


def _position_problems(
    position: Any, *, key: str, size: tuple[float, float] = (1.0, 1.0), inside: bool = True
) -> Iterator[str]:
    if not isinstance(position, list) or len(position) != 2 or not all(map(_is_number, position)):
        yield f"{key}={_short(position)} must be two numbers, [x, y]"
        return
    for value, name, extent in zip(position, ("width", "height"), size, strict=True):
        if inside and not LEAST * extent <= value <= LARGEST * extent:
            way = f"divide pixels by the picture's {name}" if extent == 1 else f"hide it, or mend {name}"
            yield f"{key}={_short(position)}: {value} is outside [{LEAST * extent:g}, {LARGEST * extent:g}]; {way}"


def _tracker_problems(content: Mapping[str, Any]) -> Iterator[str]:
    sizes = [content["width"], content["height"]]
    for name, value in zip(("width", "height"), sizes, strict=True):
        if not _is_number(value) or not value > 0:
            yield f"{name}={_short(value)} must be the clip's {name} in pixels, a positive number"
    points, visible = content["points"], content["visible"]
    if not isinstance(points, list) or not points or not isinstance(points[0], list) or not points[0]:
        yield f"points={_short(points)} must be a list of frames, each a list of at least one [x, y]"
        return
    shape = (len(points), len(points[0]))
    for name, rows in (("points", points), ("visible", visible)):
        found = (
            [len(row) if isinstance(row, list) else None for row in rows] if isinstance(rows, list) else []
        )
        if found != [shape[1]] * shape[0]:
            yield f"{name} must have {shape[0]} frames of {shape[1]} points each, as points[0]"
            return
    if not all(_is_number(value) and value > 0 for value in sizes):
        return
    for frame, (row, seen) in enumerate(zip(points, visible, strict=True)):
        for index, (point, shown) in enumerate(zip(row, seen, strict=True)):
            where = f"[{frame}][{index}]"
            if not isinstance(shown, bool):
                yield f"visible{where}={_short(shown)} must be true or false"
            yield from _position_problems(
                point, key=f"points{where}", size=(sizes[0], sizes[1]), inside=shown is True
            )


def _splines(tracks: list[Any]) -> tuple[Track, ...]:
    return tuple(SplineTrack(np.array(track["nodes"], dtype=np.float64)) for track in tracks)


def _points(content: Mapping[str, Any]) -> tuple[Track, ...]:
    size = np.array([content["width"], content["height"]], dtype=np.float64)
    points, visible = np.array(content["points"], dtype=np.float64) / size, np.array(content["visible"])
    return tuple(PointTrack(points[:, index], visible[:, index]) for index in range(points.shape[1]))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
