"""From a composed configuration to checked, frozen values. The rules between fields are here, one small function each.

Imports nothing heavy: `python train.py --help` goes through this file.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from loralab.errors import UserError, joined
from loralab.ranges import advice, applicable, outside, read_ranges

if TYPE_CHECKING:
    from loralab.adapter import LoraSpec
    from loralab.data import PictureDataset
    from loralab.data.video import VideoDataset
    from loralab.denoiser import Model
    from loralab.memory import MemoryPolicy
    from loralab.study import StudySettings
    from loralab.training.sentinel.settings import SentinelSettings
    from loralab.training.watch_settings import WatchSettings

CONF = Path(__file__).parents[2] / "conf"
RECIPE_KEYS = ("recipe", "sigmas")
"""What a model's file says about training it; the rest are arguments of its class."""
SAFETY = ("strict", "warn", "off")
PLAIN = ("loralab.objectives.FlowMatching", "loralab.objectives.AudioVideoFlow")
"""Objectives whose optimum is the mean velocity, which a few-step checkpoint must not have."""
OF_CLIPS = ".AudioVideoFlow"
"""How the `_target_` of an objective ends that takes clips."""

log = logging.getLogger("loralab")


@dataclass(frozen=True)
class Experiment:
    """What a run is made of, instantiated; partial objects still want what only the run knows."""

    denoiser: Model
    dataset: PictureDataset | VideoDataset
    adapter: LoraSpec
    memory: MemoryPolicy
    objective: Callable[..., Any]
    optimizer: Callable[..., Any]
    schedule: Callable[..., Any]
    trainer: Callable[..., Any]
    evaluation: Any
    loggers: Callable[..., Any]
    watch: WatchSettings
    sentinel: SentinelSettings


def build(config: DictConfig) -> Experiment:
    """Checks a configuration and instantiates its groups.

    Raises:
        UserError: naming every rule that is broken, with the key as typed and the way out.
    """
    from hydra.utils import instantiate

    check(config)
    groups = {
        "denoiser": model_arguments(config),
        **{
            name: config[name]
            for name in ("dataset", "adapter", "memory", "objective", "optimizer", "schedule")
        },
        **{"trainer": config.trainer, "evaluation": config.evaluation, "loggers": config.logger},
        "watch": config.watch,
        "sentinel": config.sentinel,
    }
    made = Experiment(**{name: _instantiated(name, group, instantiate) for name, group in groups.items()})
    made.evaluation.require_drawable(made.denoiser)
    return made


def built_study(config: DictConfig) -> StudySettings:
    """Instantiates the settings of the study that a run belongs to, or that a sweep is.

    Raises:
        UserError: for settings that cannot be.
    """
    from hydra.utils import instantiate

    made = partial(instantiate, is_few_step=config.model.variant == "distilled")
    settings: StudySettings = _instantiated("study", config.study, made)
    return settings


def model_arguments(config: DictConfig) -> DictConfig:
    """Gives a model's `_target_` and arguments, without what its file says about training it."""
    model = {key: value for key, value in config.model.items_ex(resolve=False) if key not in RECIPE_KEYS}
    return OmegaConf.create(model, parent=config)


def check(config: DictConfig) -> None:
    """Applies every rule and reports all that are broken at once; says which safe ranges are overridden."""
    problems = list(_missing(config))
    if not problems:
        problems = [problem for rule in RULES for problem in rule(config)]
    if problems:
        raise UserError("this configuration cannot run:\n" + joined(problems))
    if config.safety != "strict":
        level = logging.WARNING if config.safety == "warn" else logging.INFO
        for line, _ in _outside_safe_ranges(config):
            log.log(level, "safety=%s: %s", config.safety, line)
    if config.allow_dedistill:
        log.warning(
            "allow_dedistill=true: flow matching undoes the distillation of model=%s; watch the pictures at %s steps",
            config.model.name,
            config.model.sampling.num_steps,
        )


def digest(config: DictConfig) -> str:
    """Gives the SHA-256 of the resolved configuration, without what does not change what is trained."""
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    beside = ("run", "cache_root", "logger", "sweep", "study", "trial", "safety", "watch")
    kept = {key: value for key, value in plain.items() if key not in beside}
    elsewhere = ("cache_root", "ram_cache_gib")
    kept["dataset"] = {key: value for key, value in kept["dataset"].items() if key not in elsewhere}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def resumed(arguments: list[str]) -> list[str]:
    """Turns `run.resume=<folder>` into the run that lives there: its own overrides, then those typed now."""
    from loralab.cli.outside import require_harmless

    folders = [argument.split("=", 1)[1] for argument in arguments if argument.startswith("run.resume=")]
    if not folders or folders[-1] in ("null", ""):
        return arguments
    if any(argument.startswith("hydra.run.dir=") for argument in arguments):
        return arguments  # a sweep goes on with a lost trial: the command names everything itself
    folder = Path(folders[-1])
    saved = folder / "overrides.yaml"
    if not saved.is_file():
        raise UserError(
            f"run.resume={folder}: no run lives there ({saved} is missing). Give the folder of a run."
        )
    overrides = [str(override) for override in OmegaConf.to_container(OmegaConf.load(saved)) or []]
    require_harmless(overrides, source=saved)
    typed = [argument for argument in arguments if not argument.startswith("run.resume=")]
    return [*overrides, *typed, f"run.resume={quoted(str(folder))}", f"hydra.run.dir={quoted(str(folder))}"]


def quoted(text: str) -> str:
    """Gives a text as an override's value; in Hydra's quotes a backslash counts only before a quote."""
    escaped = re.sub(r"(\\*)'", r"\1\1\'", text)
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"


def _instantiated(name: str, group: DictConfig, instantiate: Callable[..., Any]) -> Any:
    from hydra.errors import InstantiationException

    try:
        return instantiate(group)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        if isinstance(cause, (ValueError, TypeError)):
            raise UserError(f"{name}: {cause}") from error
        raise


def _missing(config: DictConfig) -> Iterator[str]:
    for key in sorted(OmegaConf.missing_keys(config)):
        yield f"{key} must be given: add {key}=... to the command"


def _known_keys(config: DictConfig) -> Iterator[str]:
    """Hydra adds `+key=value` without asking; nothing reads it, so it is a mistake."""
    known = OmegaConf.load(CONF / "train.yaml")
    assert isinstance(known, DictConfig)
    groups = {str(key) for entry in known.defaults if entry != "_self_" for key in entry}
    for section, allowed in (("", groups | {str(key) for key in known}), ("run.", set(known.run))):
        for key in map(str, OmegaConf.select(config, section.rstrip(".")) if section else config):
            if key not in allowed:
                yield f"{section}{key} is no setting; python train.py --help lists all of them"


def _list_of_runs(config: DictConfig) -> Iterator[str]:
    if config.get("ablation") is not None:
        yield "ablation=... is a list of runs and no setting of one: add -m, as in python train.py -m ablation=..."


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _whole_batches(config: DictConfig) -> Iterator[str]:
    whole = isinstance(config.batch_size, int) and isinstance(config.micro_batch_size, int)
    if (
        not whole
        or min(config.batch_size, config.micro_batch_size) < 1
        or config.batch_size % config.micro_batch_size
    ):
        yield (
            f"batch_size={config.batch_size} must be a positive multiple of "
            f"micro_batch_size={config.micro_batch_size}; set micro_batch_size to a divisor"
        )


def _positive_counts(config: DictConfig) -> Iterator[str]:
    for key in ("steps", "run.save_every", "run.log_every", "run.validate_every"):
        value = OmegaConf.select(config, key)
        if value == "auto" and key in ("steps", "run.save_every"):
            continue  # follows from the number of pictures (loralab.planning.epochs)
        if not isinstance(value, int) or value < 1:
            yield f"{key}={value} must be a whole number of at least 1"
    if not isinstance(config.run.keep_snapshots, int) or config.run.keep_snapshots < 0:
        yield f"run.keep_snapshots={config.run.keep_snapshots} must be at least 0; 0 keeps all"


def _levels_inside(config: DictConfig) -> Iterator[str]:
    for level in config.run.validation_sigmas:
        if not (_is_number(level) and 0 < level < 1):
            yield f"run.validation_sigmas: {level} must lie strictly between 0 (data) and 1 (noise)"


def _moving_average(config: DictConfig) -> Iterator[str]:
    if not (_is_number(config.ema_decay) and 0 <= config.ema_decay < 1):
        yield f"ema_decay={config.ema_decay} must be at least 0 (off) and below 1; 0.99 is usual"


def _learning_rate(config: DictConfig) -> Iterator[str]:
    rate = config.optimizer.lr
    if not (_is_number(rate) and 0 < rate < float("inf")):
        yield f"optimizer.lr={rate} must be a positive number"


def _warmup(config: DictConfig) -> Iterator[str]:
    if isinstance(config.steps, int) and config.schedule.warmup_steps >= max(config.steps, 1):
        warmup = f"schedule.warmup_steps={config.schedule.warmup_steps}"
        yield f"{warmup} must be below steps={config.steps}; 0 is no warm-up"


def _fitting_optimizer(config: DictConfig) -> Iterator[str]:
    kind = config.optimizer._target_.rsplit(".", 1)[-1]
    if kind == "adamw_schedule_free" and config.ema_decay:
        yield f"ema_decay={config.ema_decay}: optimizer=schedule_free averages by itself; set ema_decay=0"
    if kind == "Muon" and config.adapter.use_dora:
        yield "optimizer=muon takes matrices only, and adapter=dora trains row lengths; choose optimizer=adamw"


def _keeps_few_steps(config: DictConfig) -> Iterator[str]:
    """Plain velocity regression blurs what few steps draw; distribution matching has nothing to keep elsewhere."""
    is_few_step, target = config.model.variant == "distilled", str(config.objective._target_)
    if is_few_step and target.endswith(OF_CLIPS) and not config.allow_dedistill:
        yield (
            f"model={config.model.name} is distilled to {config.model.sampling.num_steps} steps, which training would "
            f"blur. Train on model={_base_of(config.model.name)} and use the adapter on both, or set "
            "allow_dedistill=true"
        )
    elif is_few_step and target in PLAIN and not config.allow_dedistill:
        yield (
            f"objective=flow_matching on model={config.model.name} regresses velocities on a checkpoint distilled to "
            f"{config.model.sampling.num_steps} steps: its pictures at {config.model.sampling.num_steps} steps blur. "
            f"Choose objective=distribution_matching, train on model={_base_of(config.model.name)} and use the adapter "
            "there, or set allow_dedistill=true"
        )
    if config.allow_dedistill and not (is_few_step and target in PLAIN):
        yield (
            "allow_dedistill=true has no effect here: it is about objective=flow_matching on a model distilled to few "
            "steps"
        )
    if not is_few_step and ".distribution" in target:
        yield (
            f"objective=distribution_matching keeps what few steps draw, and model={config.model.name} is not "
            "distilled to few steps. Choose objective=flow_matching, or a distilled model"
        )


def _same_kind(config: DictConfig) -> Iterator[str]:
    """A model of video learns from clips, by an objective that takes them; one of pictures from pictures."""
    model, is_of_clips = config.model.name, config.model.recipe.get("buckets") is not None
    data = ("clips", "video_folder or video_jsonl") if is_of_clips else ("pictures", "folder or hub")
    if ("buckets" in config.dataset) != is_of_clips:
        yield f"dataset: model={model} learns from {data[0]}; choose dataset={data[1]}"
    if str(config.objective._target_).endswith(OF_CLIPS) != is_of_clips:
        right = "audio_video_flow" if is_of_clips else "flow_matching"
        yield f"objective: model={model} learns from {data[0]}; choose objective={right}"


def _base_of(name: str) -> str:
    """Names the checkpoint that a distilled one was made from."""
    return re.sub("_turbo$", "_base", name.removesuffix("_distilled"))


def _known_safety(config: DictConfig) -> Iterator[str]:
    if config.safety not in SAFETY:
        hint = " (in a YAML file, off is written in quotes)" if config.safety is False else ""
        yield f"safety={config.safety} is none of {', '.join(SAFETY)}{hint}"


def _inside_safe_ranges(config: DictConfig) -> Iterator[str]:
    if config.safety == "strict":
        yield from (f"{line}. {way}, or set safety=warn." for line, way in _outside_safe_ranges(config))


def _outside_safe_ranges(config: DictConfig) -> Iterator[tuple[str, str]]:
    """Yields what lies outside the safe ranges of the model, and the way back."""
    model, value_of = config.model.name, partial(OmegaConf.select, config)
    for key, safe in applicable(read_ranges(model), value_of).items():
        if line := outside(safe, value_of(key), model=model):
            yield line, advice(safe, value_of(key))


RULES = (
    _known_keys,
    _list_of_runs,
    _whole_batches,
    _positive_counts,
    _levels_inside,
    _moving_average,
    _learning_rate,
    _warmup,
    _fitting_optimizer,
    _same_kind,
    _keeps_few_steps,
    _known_safety,
    _inside_safe_ranges,
)
