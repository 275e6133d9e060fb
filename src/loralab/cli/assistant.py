"""`python -m loralab assistant train|check`: the frozen adapter under which a few-step checkpoint can be trained.

    assistant train model=zimage_turbo assistant.prompts=prompts.txt      train.py's overrides, and these:
    assistant.prompts=<file>      a prompt a line; by default the captions of the data set, without its trigger
    assistant.num_pictures=2000   own pictures to train on; thousands, as the published assistant of Z-Image Turbo had
    assistant.seed=0              of their noise
    assistant.output=<folder>     the run's; by default outputs/<model>/assistant/<time>

    assistant check <file> assistant.prompts=prompts.txt assistant.num_pictures=16      the model is the file's own

Unless typed, the rate is half the recipe's (5e-5 on Z-Image Turbo: between the 1e-5 on the model card of the published
assistant and the 1e-4 of adapters) and so is the rank: an assistant only has to undo a distillation.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from loralab.adapter import read_metadata
from loralab.cli.arguments import whole
from loralab.cli.compose import composed_run
from loralab.cli.own_prompts import own_prompts
from loralab.config import model_arguments, quoted
from loralab.errors import UserError

if TYPE_CHECKING:
    from loralab.denoiser import Denoiser

log = logging.getLogger("loralab")
OWN = ("prompts", "num_pictures", "seed", "output")
NUM_PICTURES, NUM_CHECKED = 2000, 16
VALIDATION_SHARE = 0.05
DEFAULTS = {
    "optimizer.lr": lambda config: config.model.recipe.lr / 2,
    "adapter.rank": lambda config: max(config.model.recipe.rank // 2, 1),
    "evaluation": lambda _: "none",  # with it few steps blur, which is no news: `assistant check` looks
    "dataset.validation_fraction": lambda _: VALIDATION_SHARE,
    "name": lambda _: "assistant",
}
"""What an assistant's run has unless it is typed."""


def main(arguments: Sequence[str]) -> None:
    """Trains an assistant, or checks one."""
    verbs = {"train": _train, "check": _check}
    verb = arguments[0] if arguments else ""
    if verb not in verbs:
        raise UserError("assistant needs a verb: assistant train model=..., or assistant check <file>")
    verbs[verb](arguments[1:])


def _train(arguments: Sequence[str]) -> None:
    from loralab.evaluation.own import OwnPictures
    from loralab.run import run

    own, typed = _split(arguments)
    config = _few_step(composed_run(["objective=assistant", *typed]))
    prompts = own_prompts(
        config, own.get("prompts"), count=whole(own, "num_pictures", default=NUM_PICTURES, least=2)
    )
    denoiser, seed = _placed(config), whole(own, "seed", default=0, least=0)
    pictures = OwnPictures(root=_root(config, denoiser, prompts, seed=seed), prompts=prompts, seed=seed)
    log.info("own pictures: %d of %s in %s", len(prompts), config.model.name, pictures.root)
    _drawn(pictures, denoiser)
    del denoiser  # the run makes its own, with another placement
    overrides = training_overrides(config, typed, pictures=pictures.folder)
    folder = Path(
        own.get("output") or f"outputs/{config.model.name}/assistant/{time.strftime('%Y-%m-%d_%H-%M-%S')}"
    )
    run(composed_run(overrides), root=folder, overrides=overrides)
    adapter = folder / "adapter.safetensors"
    log.info("check it: python -m loralab assistant check %s", adapter)


def _check(arguments: Sequence[str]) -> None:
    from loralab.evaluation import Drawing
    from loralab.evaluation.assistant import check_assistant

    files = [argument for argument in arguments if "=" not in argument]
    if len(files) != 1:
        raise UserError("assistant check needs one adapter file: assistant check <file>")
    path = Path(files[0])
    own, typed = _split([argument for argument in arguments if argument != files[0]])
    config = _few_step(composed_run([*_model_of(path, typed), *typed, "objective=assistant"]))
    count = whole(own, "num_pictures", default=NUM_CHECKED, least=2)
    prompts = own_prompts(config, own.get("prompts"), count=count, beside=path)
    output = Path(own.get("output") or path.parent / "assistant_check")
    found = check_assistant(_placed(config), path, prompts=prompts, output=output, drawing=Drawing())
    change = found.error_with / found.error_without - 1
    steps = config.model.sampling.num_steps
    log.info(
        "error on own pictures   %.4f without, %.4f with it (%+.1f %%)",
        found.error_without,
        found.error_with,
        100 * change,
    )
    log.info(
        "sharpness at %2d steps   %.2f of the checkpoint's (below 1: blurred, as it must be)",
        steps,
        found.sharpness,
    )
    log.info("sharpness at 32 steps   %.2f", found.sharpness_many)
    log.info("pictures                %s", output / "grid.png")
    log.info("verdict                 %s", found.verdict)


def training_overrides(config: DictConfig, typed: Sequence[str], *, pictures: Path) -> list[str]:
    """Gives the overrides of the run that learns from own pictures: as typed, but for the data set."""
    kept = [
        line
        for line in typed
        if not line.lstrip("+~").startswith(("dataset=", "dataset.root", "dataset.trigger"))
    ]
    keys = {line.partition("=")[0].lstrip("+~") for line in kept}
    defaults = [f"{key}={value(config)}" for key, value in DEFAULTS.items() if key not in keys]
    return [
        *("dataset=folder", f"dataset.root={quoted(str(pictures))}"),
        f"dataset.cache_root={quoted(str(pictures.parent))}",
        *("objective=assistant", "watch.every=0", "sentinel.action=none"),
        *defaults,
        *kept,
    ]


def _split(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Gives the settings of the command itself, and train.py's overrides."""
    own, rest = {}, []
    for argument in arguments:
        key, _, value = argument.partition("=")
        if not key.startswith("assistant."):
            rest.append(argument)
        elif key.removeprefix("assistant.") in OWN:
            own[key.removeprefix("assistant.")] = value.strip("'\"")
        else:
            raise UserError(
                f"{key} is no setting; known are {', '.join(f'assistant.{known}' for known in OWN)}"
            )
    return own, rest


def _few_step(config: DictConfig) -> DictConfig:
    if config.model.variant != "distilled":
        raise UserError(
            f"model={config.model.name} is not distilled, so that there is nothing for an assistant to undo: train "
            "on it with objective=flow_matching"
        )
    return config


def _placed(config: DictConfig) -> Denoiser:
    from hydra.utils import instantiate

    from loralab.memory import pick_device
    from loralab.planning import drawing_placement
    from loralab.quiet import quiet_libraries

    quiet_libraries()
    denoiser: Denoiser = instantiate(model_arguments(config))
    device = pick_device(config.trainer.accelerator)
    denoiser.place(drawing_placement(config, instantiate(config.memory), denoiser, device=device))
    return denoiser


def _root(config: DictConfig, denoiser: Denoiser, prompts: Sequence[str], *, seed: int) -> Path:
    """Gives a folder for exactly these pictures, so that another checkpoint or prompt is another folder."""
    from loralab.data.cache import digest

    sampling = denoiser.sampling
    size = (sampling.num_steps, sampling.height, sampling.width)
    name = digest(denoiser.identity().base_digest, *size, seed, *prompts)[:16]
    return Path(config.cache_root).expanduser() / "assistant" / name


def _drawn(pictures: object, denoiser: Denoiser) -> None:
    from tqdm import tqdm

    from loralab.evaluation.own import OwnPictures

    assert isinstance(pictures, OwnPictures)
    with tqdm(total=len(pictures.missing(denoiser)), desc="own pictures", unit="picture") as bar:

        def progress(count: int) -> None:
            bar.update(count)

        pictures.draw(denoiser, progress=progress)


def _model_of(path: Path, typed: Sequence[str]) -> list[str]:
    if any(argument.startswith("model=") for argument in typed):
        return []
    if (metadata := read_metadata(path)) is None:
        raise UserError(f"{path} does not say its model: add model=zimage_turbo")
    return [f"model={metadata.model}"]
