"""Composes a command's configuration and makes its denoiser, with the same names as `train.py`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from loralab.adapter import read_metadata
from loralab.adapter.belonging import ASSISTANT
from loralab.adapter.reading import read_shapes
from loralab.config import CONF, model_arguments, quoted
from loralab.errors import UserError

if TYPE_CHECKING:
    from loralab.denoiser import Denoiser

TEXTS = (
    "prompt", "negative_prompt", "adapter_file", "output", "out", "image", "extend", "video", "audio", "reference",
)  # fmt: skip
"""Keys whose values are prompts or paths."""


def composed(name: str, arguments: Sequence[str]) -> DictConfig:
    """Gives the configuration of a command; the model is the adapter's own unless `model=` is typed.

    `adapter=<file>` is held as `adapter_file`, since `adapter` names a group of training's configuration.

    Raises:
        UserError: for a key that does not exist, and for one that must be given and is not.
    """
    typed = [_as_text(re.sub(r"^adapter=", "adapter_file=", argument)) for argument in arguments]
    config = _composed(name, [*typed, *_model_of_adapter(arguments)])
    if missing := [str(key) for key in config if OmegaConf.is_missing(config, key)]:
        keys = (key.replace("adapter_file", "adapter") for key in missing)
        raise UserError(f"{name} needs {', '.join(f'{key}=...' for key in keys)}")
    return config


def composed_run(overrides: Sequence[str]) -> DictConfig:
    """Gives the configuration that train.py has under these overrides.

    Raises:
        UserError: for a key that does not exist.
    """
    return _composed("train", overrides)


def placed_denoiser(config: DictConfig) -> Denoiser:
    """Makes the configured denoiser on the configured device."""
    from hydra.utils import instantiate

    from loralab.memory import pick_device
    from loralab.planning import drawing_placement
    from loralab.quiet import quiet_libraries

    quiet_libraries()
    device = pick_device(config.accelerator)
    denoiser: Denoiser = instantiate(model_arguments(config))
    denoiser.place(drawing_placement(config, instantiate(config.memory), denoiser, device=device))
    return denoiser


def require_match(config: DictConfig, path: Path) -> None:
    """Refuses an adapter that belongs to another base than the one chosen, before any weight is loaded."""
    from hydra.utils import instantiate

    metadata = read_metadata(path)
    family = str(config.model._target_).rsplit(".", 2)[-2]
    if metadata is not None and metadata.family != family:
        raise UserError(
            f"adapter={path} belongs to family {metadata.family}, model={config.model.name} is of {family}"
        )
    if metadata is not None and metadata.objective == ASSISTANT and config.model.assume_base is None:
        raise UserError(
            f"adapter={path} is an assistant: it stands beside an adapter in training (objective.assistant) and spoils "
            f"what {config.model.name} draws. To look at that, set model.assume_base={config.model.name}."
        )
    header, shapes = read_shapes(path)
    instantiate(model_arguments(config)).foreign_names.guard(str(path), header, shapes)


def _composed(name: str, overrides: Sequence[str]) -> DictConfig:
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return compose(name, list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(f"{name}: {error}") from error


def _as_text(argument: str) -> str:
    """Quotes what is meant as text (prompts have commas, paths have spaces), unless it is quoted or a list already."""
    key, _, value = argument.partition("=")
    if key not in TEXTS or value[:1] in ("", "'", '"', "[") or value == "null":
        return argument
    return f"{key}={quoted(value)}"


def draws_clips(arguments: Sequence[str]) -> bool:
    """Says whether the model that is typed, or the adapter's own, is one of video and sound."""
    typed = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    name = typed.get("model") or _model_of_adapter(arguments)[0].removeprefix("model=")
    file = CONF / "model" / f"{name}.yaml"
    return file.is_file() and "ClipSampling" in file.read_text(encoding="utf-8")


def _model_of_adapter(arguments: Sequence[str]) -> list[str]:
    typed = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    if "model" in typed:
        return []
    value = typed.get("adapter", "")
    path = (value[1:].split(",")[0].strip("] ") if value.startswith("[") else value).strip("'\"")
    metadata = read_metadata(path) if path not in ("", "null") else None
    if metadata is None:
        models = ", ".join(sorted(file.stem for file in (CONF / "model").glob("*.yaml")))
        raise UserError(
            f"model=... must be given, for no adapter file says which one; known models: {models}"
        )
    return [f"model={metadata.model}"]
