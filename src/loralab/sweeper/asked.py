"""What a sweep command asks for: the file of `sweeps/`, then what was typed, checked against the safe ranges."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf, open_dict
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from loralab.config import check
from loralab.errors import UserError, joined
from loralab.planning import settle
from loralab.ranges import SAFE, SafeRange, Sweep, applicable, read_ranges, read_sweep, widened
from loralab.study import Branch, Lengths, Plan, Space, StudySettings
from loralab.study.lengths import KEY as STEPS
from loralab.study.settings import DEFAULT_OBJECTIVES, FEW_STEP_SCORE
from loralab.study.space import Point
from loralab.sweeper.grammar import Typed, key_of, overrides_of, read_overrides

log = logging.getLogger("loralab")
APART = ("study.", "study=", "sweep=", "trial.", "logger", "hydra")
"""Overrides that say how a study is run and watched, not what its trials are."""


@dataclass(frozen=True)
class Asked:
    """A sweep, read and checked.

    Attributes:
        base: the configuration that trials vary.
        choices: the chosen file of every group in it.
        typed: what is searched, and what is fixed, in the order of the command.
        plan: space, points and recipe.
        lengths: the lengths that each trial's curve answers for, where it does.
        notes: searches beyond a safe range that were let through.
        sets: gives what a point sets, as overrides of train.py.
        ablation: its definition in plain values, where the points are the cells of one.
    """

    base: DictConfig
    choices: Mapping[str, str]
    typed: Typed
    plan: Plan
    lengths: Lengths | None
    notes: tuple[str, ...]
    sets: Callable[[Point], list[str]] = overrides_of
    ablation: Mapping[str, Any] | None = None

    @property
    def num_steps(self) -> int:
        """The most steps of a trial."""
        searched = self.typed.searched.get(STEPS)
        return int(self.base.steps) if searched is None else int(max(_ends(searched)))

    @property
    def fixed(self) -> list[str]:
        """What every trial has: the fixed overrides, and the length that answers for all."""
        return [*self.typed.fixed, *([f"{STEPS}={self.lengths.high}"] if self.lengths else [])]

    @property
    def shared(self) -> list[str]:
        """The part of it that makes trials comparable, which a study that goes on must not change."""
        return [line for line in self.fixed if not line.lstrip("+~").startswith(APART)]


def read_asked(
    arguments: Sequence[str], *, config: DictConfig, loader: ConfigLoader, settings: StudySettings
) -> Asked:
    """Reads what a sweep command asks for.

    Args:
        arguments: the overrides as typed.
        config: what Hydra has composed from the fixed ones.
        loader: Hydra's, to compose with the file's own overrides.
        settings: the study's.

    Raises:
        UserError: naming all that cannot be: unknown names, searches outside the safe ranges, nothing to search.
    """
    typed = read_overrides(arguments)
    sweep = None if config.sweep is None else read_sweep(str(config.sweep))
    fixed = [*_unless_typed(sweep.overrides if sweep else (), typed), *typed.fixed]
    base = loader.load_sweep_config(config, fixed)
    choices = dict(base.hydra.runtime.choices)
    with open_dict(base):
        del base.hydra  # its names of folders exist for jobs only
    check(base)
    settle(base)
    if sweep is not None:
        _require_model(sweep, base)
    _require_score(base, settings)
    ranges = applicable(read_ranges(base.model.name), lambda key: OmegaConf.select(base, key))
    searched = _searched(sweep, typed, fixed=fixed, ranges=ranges)
    notes = _beyond(searched.searched, ranges, base=base)
    lengths = _lengths(searched.searched, base=base, settings=settings)
    drawn = {k: d for k, d in searched.searched.items() if lengths is None or k != STEPS}
    space = Space(drawn, _branches(sweep.when if sweep else {}, fixed=fixed))
    configured = {key: choices.get(key, OmegaConf.select(base, key)) for key, _ in space}
    plan = _plan(space, configured=configured, settings=settings, has_sweep=sweep is not None)
    typed = Typed(searched.searched, searched.texts, tuple(fixed))
    return Asked(base, choices, typed, plan, lengths, tuple(notes))


def _unless_typed(lines: Sequence[str], typed: Typed) -> list[str]:
    """Gives a file's overrides without those whose key was typed."""
    keys = {*typed.searched, *map(key_of, typed.fixed)}
    return [line for line in lines if key_of(line) not in keys]


def _require_model(sweep: Sweep, base: DictConfig) -> None:
    if sweep.name != base.model.name and read_ranges(sweep.name):
        raise UserError(
            f"sweep={base.sweep} is about model={sweep.name}, but model={base.model.name} was composed; "
            f"add model={sweep.name}, or give the path of a file of your own"
        )
    if sweep.ranges and not read_ranges(sweep.name):
        raise UserError(
            f"sweep={base.sweep}: ranges bind in sweeps/{base.model.name}.yaml only; take them out here"
        )


def _require_score(base: DictConfig, settings: StudySettings) -> None:
    """Refuses a study whose trials would not measure what it compares; says where nothing is pruned."""
    few_step = [metric for metric in settings.targets if metric.startswith(FEW_STEP_SCORE.partition(".")[0])]
    if few_step and base.evaluation.get("fewstep") is None:
        raise UserError(
            f"study.objectives: {few_step[0]} is measured with evaluation=fewstep only, which this sweep does not have"
        )
    if settings.is_few_step and settings.pruner != "none":
        log.info(
            "study.pruner=%s is off: on a few-step model a low validation loss means that the distillation is lost",
            settings.pruner,
        )


def _searched(
    sweep: Sweep | None, typed: Typed, *, fixed: Sequence[str], ranges: Mapping[str, SafeRange]
) -> Typed:
    """Gives the file's searches without what was fixed, then the typed ones, which count more."""
    taken = {key_of(line) for line in fixed}
    lines = []
    for key, text in (sweep.search if sweep else {}).items():
        if key in taken:
            continue
        if text == SAFE and key not in ranges:
            raise UserError(
                f"sweep: {key}=safe has no safe range in this configuration; type {key}='interval(...)', or {key}=..."
            )
        lines.append(f"{key}={ranges[key].grammar() if text == SAFE else text}")
    found = read_overrides([*lines, *(f"{key}={text}" for key, text in typed.texts.items())])
    if not found.searched:
        raise UserError(
            "nothing is searched: name a file of sweeps/, as sweep=nano_klein, or give a setting several values, "
            "as adapter.rank=8,16 or 'optimizer.lr=tag(log,interval(1e-5,1e-4))'"
        )
    return found


def _beyond(
    searched: Mapping[str, BaseDistribution], ranges: Mapping[str, SafeRange], *, base: DictConfig
) -> list[str]:
    """Gives searches outside the safe ranges that `safety` lets through.

    Raises:
        UserError: for such searches with safety=strict.
    """
    problems = [
        problem
        for key, distribution in searched.items()
        if key in ranges
        for problem in widened(ranges[key], _ends(distribution), model=base.model.name)
    ]
    if problems and base.safety == "strict":
        raise UserError(
            "this sweep leaves the safe ranges:\n" + joined(problems) + "\nNarrow it, or set safety=warn."
        )
    if base.safety == "warn":
        for problem in problems:
            log.warning("safety=warn: %s", problem)
    return problems


def _lengths(
    searched: Mapping[str, BaseDistribution], *, base: DictConfig, settings: StudySettings
) -> Lengths | None:
    """Gives the lengths that snapshots answer for, where they can."""
    if STEPS not in searched or settings.lengths == "trials":
        return None
    obstacles = [
        what
        for what, is_so in {
            "schedule.decay must be constant": base.schedule.decay != "constant",
            "the objective must be the validation loss": settings.targets != dict(DEFAULT_OBJECTIVES),
            "the schedule must not be searched": any(key.startswith("schedule") for key in searched),
        }.items()
        if is_so
    ]
    if not obstacles:
        ends = _ends(searched[STEPS])
        is_list = isinstance(searched[STEPS], CategoricalDistribution)
        return Lengths(int(min(ends)), int(max(ends)), tuple(sorted(map(int, ends))) if is_list else ())
    if settings.lengths == "snapshots":
        raise UserError(f"study.lengths=snapshots: {', '.join(obstacles)}; or set study.lengths=trials")
    return None


def _plan(space: Space, *, configured: Mapping[str, Any], settings: StudySettings, has_sweep: bool) -> Plan:
    recipe = space.inside(configured)
    left = [key for key in space.parameters if key not in recipe]
    for key in left:
        log.info("%s=%s lies outside the search, so the first trial draws it", key, configured[key])
    design = settings.design
    if design == "auto":
        design = "grid" if space.is_listed() and not has_sweep else "search"
    points = {
        "grid": space.grid,
        "one_factor": lambda: space.one_factor(recipe),
        "search": lambda: [recipe] if settings.recipe_first and recipe else [],
    }[design]()
    extra = [_known_point(point, space) for point in settings.enqueue]
    documented = {} if left else recipe
    return Plan(space=space, points=[*points, *extra], recipe=documented, searches=design == "search")


def _known_point(point: Mapping[str, Any], space: Space) -> Point:
    inside = space.inside(point)
    if left := [key for key in point if key not in inside]:
        raise UserError(f"study.enqueue: {', '.join(left)} of {dict(point)} lies outside what is searched")
    return inside


def ends_of(asked: Asked, key: str) -> list[Any]:
    """Gives the values, or the two ends, that trials may have of a setting."""
    searched = asked.typed.searched.get(key)
    return [OmegaConf.select(asked.base, key)] if searched is None else _ends(searched)


def _ends(distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    return [distribution.low, distribution.high]


def _branches(
    when: Mapping[str, Mapping[str, Mapping[str, str]]], *, fixed: Sequence[str]
) -> tuple[Branch, ...]:
    """Gives the conditional searches of a file whose condition is still open."""
    taken = {key_of(line) for line in fixed}
    return tuple(
        Branch(key, choice, read_overrides([f"{k}={text}" for k, text in inner.items()]).searched)
        for key, choices in when.items()
        if key not in taken
        for choice, inner in choices.items()
    )
