"""What of a clip is given, read from files at the clip's size and rate: a first frame, a video to go on from, sound, a
control video.

A picture that is given as the first frame is compressed as one frame of H.264 before (CRF 33 for LTX-2.3), as in the
vendor's pipelines (Lightricks/LTX-2, ltx_pipelines/utils/media_io.py): the model learned from compressed videos.
"""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from loralab.data.images import load_picture
from loralab.data.video.decode import read_sound
from loralab.data.video.entries import is_picture
from loralab.data.video.footage import Footage, inspected
from loralab.data.video.masks import kept_frames
from loralab.data.video.policies import FpsPolicy, select
from loralab.data.video.sizes import SAMPLE_RATE, fit_frame, held_frames
from loralab.errors import UserError
from loralab.evaluation.video.size import ClipSize


def first_frame(path: Path, size: ClipSize, *, crf: int | None) -> UInt8[Tensor, " 1 height width 3"]:
    """Gives a picture as a clip's first frame.

    Args:
        path: of the picture.
        size: of the clip.
        crf: quality of its compression, from 1 to 51 (lower is better); None leaves it as it is.

    Raises:
        UserError: if it is no picture, or the quality is none.
    """
    if not is_picture(path):
        raise UserError(f"image={path} is no picture; a video to go on from is typed extend={path}")
    try:
        pixels = np.array(load_picture(path), dtype=np.uint8)
    except (OSError, ValueError) as error:
        raise UserError(f"image={path} cannot be read as a picture ({error})") from error
    pixels = pixels if crf is None else compressed(pixels, crf=crf)
    return torch.from_numpy(fit_frame(pixels, height=size.height, width=size.width))[None]


def compressed(pixels: UInt8[np.ndarray, " y x 3"], *, crf: int) -> UInt8[np.ndarray, " height width 3"]:
    """Gives a picture after H.264; an odd last row or column, which it cannot hold, is left out.

    Raises:
        UserError: if the quality is outside 1 to 51.
    """
    if not 1 <= crf <= 51:
        raise UserError(f"image_crf={crf} must be from 1 (best) to 51, or null to leave pictures as they are")
    height, width = (side // 2 * 2 for side in pixels.shape[:2])
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=1, options={"crf": str(crf), "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        even = np.ascontiguousarray(pixels[:height, :width])
        container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file, "r") as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def available_frames(path: Path, *, fps: float) -> int:
    """Counts the frames that a video has at a rate, down to 8k + 1."""
    return held_frames(FpsPolicy(Fraction(fps)).available(inspected(path)[1]))


def frames_of(path: Path, size: ClipSize, *, key: str) -> UInt8[Tensor, " frames height width 3"]:
    """Gives the first frames of a video at a clip's rate.

    Raises:
        UserError: if it has fewer than the clip.
    """
    found = _footage(path, fps=size.fps, key=key)
    if len(found.indices) < size.num_frames:
        raise UserError(
            f"{key}={path} has {len(found.indices)} frames at {size.fps:g} per second, and the clip has"
            f" {size.num_frames}. Set num_frames={available_frames(path, fps=size.fps)}, or give a longer one."
        )
    return _cut(found, slice(size.num_frames), height=size.height, width=size.width)


def last_frames(path: Path, size: ClipSize, *, count: int) -> UInt8[Tensor, " {count} height width 3"]:
    """Gives the last `count` frames of a video at a clip's rate, to go on from.

    Raises:
        UserError: if it has fewer, or the clip has none beside them, or they are not 8k + 1.
    """
    if count != held_frames(count) or count >= size.num_frames:
        raise UserError(
            f"extend_frames={count} must be 8k + 1 (1, 9, 17, ...) and fewer than the clip's {size.num_frames}"
        )
    found = _footage(path, fps=size.fps, key="extend")
    if len(found.indices) < count:
        raise UserError(
            f"extend={path} has {len(found.indices)} frames at {size.fps:g} per second, fewer than"
            f" extend_frames={count}. Set extend_frames={available_frames(path, fps=size.fps)}."
        )
    return _cut(found, slice(-count, None), height=size.height, width=size.width)


def reference_frames(path: Path, size: ClipSize, *, factors: tuple[int, int]) -> UInt8[Tensor, " g y x 3"]:
    """Gives a control video at the size that an adapter was trained with.

    Args:
        path: of a video at the clip's rate, at least as long.
        size: of the clip.
        factors: how many times smaller and slower references are.

    Raises:
        UserError: if it is too short.
    """
    spatial, temporal = factors
    smaller = ClipSize(
        width=size.width // spatial, height=size.height // spatial, num_frames=size.num_frames, fps=size.fps
    )
    frames = frames_of(path, smaller, key="reference")
    return frames[kept_frames(size.num_frames, stride=temporal, key="reference")]


def sound_of(path: Path, size: ClipSize) -> Float[Tensor, " 2 samples"]:
    """Gives the first seconds of a file's sound, with silence where it has no more.

    Raises:
        UserError: if it has none.
    """
    if not path.is_file():
        raise UserError(f"audio={path} is not there")
    return read_sound(path, start=None, num_samples=round(size.seconds * SAMPLE_RATE))


def _footage(path: Path, *, fps: float, key: str) -> Footage:
    """Gives all frames of a video at a rate."""
    if is_picture(path):
        raise UserError(f"{key}={path} is a picture, and a video is needed")
    digest, probe = inspected(path)
    policy = FpsPolicy(Fraction(fps))
    chosen = select(probe, policy, frames=policy.available(probe))
    return Footage(path=path, key=digest, probe=probe, indices=chosen.indices)


def _cut(footage: Footage, part: slice, *, height: int, width: int) -> UInt8[Tensor, " f {height} {width} 3"]:
    kept = Footage(path=footage.path, key=footage.key, probe=footage.probe, indices=footage.indices[part])
    return kept.pixels(height=height, width=width)
