"""`python -m loralab tracks render <tracks.json> frames=49 width=960 height=544 out=control.mp4`: a motion-track video.

    frames, width, height     of the video that the tracks are for
    out=control.mp4           the control video; beside it control.png shows some of its frames over the whole curves
    fps=24                    24, 29.97, 30000/1001, ...
    canvas=1080               shorter side of what dots are drawn on; a smaller one draws larger dots, for small videos
    background=first.png      a picture to show in the preview below the curves; the control video stays black

docs/control.md has the two forms of tracks.json: curves by hand, and a point tracker's output.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from loralab.cli.arguments import rate, typed, whole
from loralab.errors import UserError
from loralab.files import atomic_path

if TYPE_CHECKING:
    from PIL import Image

log = logging.getLogger("loralab")
NEEDED = ("frames", "width", "height", "out")
KEYS = (*NEEDED, "fps", "canvas", "background")
LEAST_SIDE = 16


def main(arguments: Sequence[str]) -> None:
    """Draws the control video and its preview and prints where they are."""
    if not arguments or arguments[0] != "render":
        raise UserError("tracks needs a verb: tracks render <tracks.json> " + _example(NEEDED))
    found = typed(arguments[1:], command="tracks render", known=KEYS, subject="a file of tracks")
    if missing := [key for key in NEEDED if key not in found]:
        raise UserError(f"tracks render needs {', '.join(missing)} too, as {_example(missing)}")
    _render(found, out=mp4(found["out"]))


def mp4(text: str) -> Path:
    """Gives the path of a video to write."""
    path = Path(text)
    if path.suffix.lower() != ".mp4":
        raise UserError(f"out={text} must end in .mp4")
    return path


def _render(found: Mapping[str, str], *, out: Path) -> None:
    from loralab.data.control import TrackStyle, draw_tracks, read_tracks, sample_tracks
    from loralab.data.control.preview import contact_sheet
    from loralab.data.control.writing import write_video

    num_frames = whole(found, "frames", default=0)
    width, height = (whole(found, key, default=0, least=LEAST_SIDE) for key in ("width", "height"))
    fps = rate(found, "fps", default="24")
    style = TrackStyle(canvas=whole(found, "canvas", default=TrackStyle.canvas))
    background = _picture(found.get("background"))
    tracks = read_tracks(found["name"])
    sampled = sample_tracks(tracks, num_frames=num_frames)
    video = draw_tracks(sampled, height=height, width=width, style=style)
    write_video(out, video, fps=fps)
    preview = out.with_suffix(".png")
    with atomic_path(preview) as temporary:
        contact_sheet(video, sampled, background=background).save(temporary, format="PNG", optimize=True)
    log.info("control  %s   %d tracks, %d frames of %dx%d", out, len(tracks), num_frames, width, height)
    log.info("preview  %s", preview)
    for note in _notes(num_frames=num_frames, width=width, height=height):
        log.info("note: %s", note)


def _notes(*, num_frames: int, width: int, height: int) -> Iterator[str]:
    """Yields what LTX-Video will not take as it is; a small model of another make may."""
    from loralab.data.video.sizes import FRAMES_PER_LATENT, PIXELS_PER_LATENT, held_frames

    multiple = 2 * PIXELS_PER_LATENT
    if num_frames != (used := held_frames(num_frames)):
        yield f"frames={num_frames} is not {FRAMES_PER_LATENT}k + 1: LTX-Video uses the first {used}"
    for key, side in (("width", width), ("height", height)):
        if side % multiple:
            yield f"{key}={side} is no multiple of {multiple}, as LTX-Video needs where references have half the size"


def _picture(path: str | None) -> Image.Image | None:
    from loralab.data.images import load_picture

    if path is None:
        return None
    try:
        return load_picture(path)
    except OSError as error:
        raise UserError(f"background={path} cannot be read as a picture ({error})") from error


def _example(keys: Sequence[str]) -> str:
    values = {"frames": "49", "width": "960", "height": "544", "out": "control.mp4"}
    return " ".join(f"{key}={values[key]}" for key in keys)
