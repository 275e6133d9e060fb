"""Any function that turns a video into a control video, named by where it is: `package.module:function`.

It is called once per video with its frames in RGB, [f, h, w, 3] uint8, and gives as many of the same size: a depth or
pose estimator that draws its result in RGB, for example. `loralab.data.control.canny:canny` is one.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8

from loralab.data.cache import digest
from loralab.errors import UserError


@dataclass(frozen=True)
class Annotator:
    """A checked annotator.

    Attributes:
        path: as typed.
        digest: of the path and of the text of its module, for caches: another text is another annotator. What the
            module itself imports or loads is not in it.
    """

    path: str
    digest: str
    function: Callable[[Any], Any]

    def __call__(self, frames: UInt8[np.ndarray, " f h w 3"]) -> UInt8[np.ndarray, " f h w 3"]:
        """Gives the control video.

        Raises:
            UserError: the function gives something else than as many frames of the same size in uint8.
        """
        given = self.function(frames)
        if not isinstance(given, np.ndarray):
            raise UserError(
                f"annotator={self.path} gave a {type(given).__name__}, not a numpy array {_wanted(frames)}."
            )
        if given.dtype != np.uint8:
            raise UserError(
                f"annotator={self.path} gave {given.dtype}, not uint8: scale its values to 0 .. 255 and round."
            )
        if given.shape != frames.shape:
            raise UserError(
                f"annotator={self.path} gave the shape {_sizes(given)}, not {_wanted(frames)}: resize its pictures, "
                "repeat grey in three channels, and keep every frame."
            )
        return given


def load_annotator(path: str) -> Annotator:
    """Imports the function.

    Raises:
        UserError: the path has another form, or names nothing that can be called.
    """
    module_name, colon, name = path.partition(":")
    if not colon or not all(part.isidentifier() for part in [*module_name.split("."), name]):
        raise UserError(f"annotator={path} must be package.module:function")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UserError(
            f"annotator={path}: {module_name} cannot be imported ({error}). Install it, or put its "
            "folder on PYTHONPATH."
        ) from error
    function = vars(module).get(name)
    if not callable(function):
        known = sorted(key for key, value in vars(module).items() if inspect.isfunction(value))
        raise UserError(
            f"annotator={path}: {module_name} has no function {name}; it has {', '.join(known) or 'none'}"
        )
    return Annotator(path, digest=_digest(path, module), function=function)


def _digest(path: str, module: Any) -> str:
    try:
        text = inspect.getsource(module)
    except (OSError, TypeError):  # compiled: there is no text
        text = str(vars(module).get("__version__"))
    return digest(path, text)


def _wanted(frames: np.ndarray) -> str:
    return f"{_sizes(frames)} (frames, height, width, RGB)"


def _sizes(array: np.ndarray) -> str:
    return "x".join(map(str, array.shape))
