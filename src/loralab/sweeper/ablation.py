"""`ablation=<name>`: from the definition to the plan of a study, checked cell by cell, and to its tables in the end."""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.config_loader import ConfigLoader
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from optuna.distributions import IntDistribution

from loralab.config import built_study, check, quoted
from loralab.errors import UserError, joined
from loralab.study import Plan, Space, StudySettings, persistently
from loralab.study.ablation import ABLATIONS, Ablation, Cell, cells_of, read_ablation
from loralab.study.ablation.design import NUM_BITS
from loralab.study.space import Point
from loralab.sweeper.asked import Asked
from loralab.sweeper.grammar import Typed, key_of, read_overrides

if TYPE_CHECKING:
    from optuna import Study

log = logging.getLogger("loralab")
OWN = ("ablation=", "ablation.", "+ablation", "++ablation")
MEASURED_BY = ("style", "fewstep")
"""Parts of an evaluation, which give the numbers under their name."""
CELL, SEED = "cell", "seed"


def asked_ablation(
    arguments: Sequence[str], *, config: DictConfig, loader: ConfigLoader
) -> tuple[StudySettings, Asked]:
    """Reads what an ablation's command asks for, and composes and checks every cell before anything is run.

    Args:
        arguments: the overrides as typed.
        config: what Hydra has composed from them.
        loader: Hydra's.

    Raises:
        UserError: naming all that cannot be.
    """
    typed = read_overrides([line for line in arguments if not line.startswith(OWN)])
    if typed.searched or config.sweep is not None:
        what = ", ".join(f"{key}={text}" for key, text in typed.texts.items()) or f"sweep={config.sweep}"
        raise UserError(f"{what} asks for a search, and ablation= for a list of runs: leave one out")
    ablation = _definition(config, typed)
    cells = cells_of(ablation)
    _require_budget(ablation, cells)
    fixed = list(
        {key_of(line): line for line in (*_study_lines(ablation, cells), *ablation.overrides)}.values()
    )
    composed = _composed(ablation, cells, fixed=fixed, config=config, loader=loader)
    base = composed[cells[0].name]
    by_number = {cell.number: cell for cell in cells}

    def sets(point: Point) -> list[str]:
        return [*by_number[point[CELL]].overrides, f"seed={point[SEED]}"]

    asked = Asked(
        base=base,
        choices={},
        typed=Typed({}, {}, tuple(fixed)),
        plan=_plan(ablation, cells),
        lengths=None,
        notes=(),
        sets=sets,
        ablation={"definition": dataclasses.asdict(ablation), "arguments": sys.argv[1:]},
    )
    return built_study(base), asked


def tell_plan(study: Study, *, asked: Asked, settings: StudySettings) -> None:
    """Says what will be run, and how long that may take where a run has shown it."""
    assert asked.ablation is not None
    trials = persistently(lambda: study.get_trials(deepcopy=False))
    seconds = [t.duration.total_seconds() for t in trials if t.duration is not None and t.values is not None]
    ended, pending = (
        {
            (t.params[CELL], t.params[SEED])
            for t in trials
            if t.state.is_finished() is is_ended and CELL in t.params
        }
        for is_ended in (True, False)
    )  # what failed is pending where it will be tried again
    done = ended - pending
    num_left = sum((point[CELL], point[SEED]) not in done for point in asked.plan.points)
    known = asked.ablation["definition"]
    num_cells = len({point[CELL] for point in asked.plan.points})
    log.info("ablation %s: %s", known["name"], known["title"])
    log.info("%d cells (%s), seeds %s", num_cells, known["design"], ", ".join(map(str, known["seeds"])))
    if seconds and num_left:
        mean = sum(seconds) / len(seconds)
        minutes = mean * num_left / settings.num_workers / 60
        log.info(
            "%d runs left of %d, %.0f s each so far: about %.0f min",
            num_left,
            len(asked.plan.points),
            mean,
            minutes,
        )
    elif num_left:
        log.info("%d runs; how long they take is known when the first has ended", num_left)


def write_outcome(settings: StudySettings, *, url: str) -> None:
    """Writes the record, tables, figures and the page, and shows what they say."""
    from loralab.report.ablation import ablation_sections, recorded_ablation, write_ablation
    from loralab.report.page.ablation import write_ablation_page
    from loralab.report.study import show

    record = recorded_ablation(settings.folder, storage=url)
    show(ablation_sections(record))
    written = write_ablation(record, settings.folder)
    log.info("written  %d files in %s", len(written), settings.folder)
    log.info("page     %s", write_ablation_page(record, settings.folder))
    log.info("again    %s", record.origin.report_command)


def _definition(config: DictConfig, typed: Typed) -> Ablation:
    """Gives the definition with what was typed for all runs; of two lines for one key the typed one counts."""
    plain = OmegaConf.to_container(config.ablation, resolve=False)
    assert isinstance(plain, dict)
    name = str(config.hydra.runtime.choices.ablation)
    ablation = read_ablation({str(key): value for key, value in plain.items()}, name=name)
    lines = {key_of(line): line for line in (*ablation.overrides, *typed.fixed)}
    return dataclasses.replace(ablation, overrides=tuple(lines.values()))


def _study_lines(ablation: Ablation, cells: Sequence[Cell]) -> list[str]:
    """Gives what an ablation's study is told: every run to its end, and no failure stops the others."""
    num_runs = len(cells) * (len(ablation.seeds) + len(ablation.confirm.seeds))
    objectives = ", ".join(f"{metric}: {direction}" for metric, direction in ablation.metrics.items())
    return [
        f"study.name={quoted(ablation.name)}",
        f"study.root={quoted(str(ABLATIONS))}",
        f"study.objectives={{{objectives}}}",
        "study.sampler=random",
        "study.pruner=none",
        "study.max_retries=1",
        f"study.max_failures={2 * num_runs}",
    ]


def _require_budget(ablation: Ablation, cells: Sequence[Cell]) -> None:
    num_runs = len(_points(ablation, cells))
    if ablation.max_runs is not None and num_runs > ablation.max_runs:
        raise UserError(
            f"ablation={ablation.name} has {len(cells)} cells and {num_runs} runs, above "
            f"ablation.budget.max_runs={ablation.max_runs}; fewer seeds, levels or factors, or a higher budget"
        )


def _composed(
    ablation: Ablation,
    cells: Sequence[Cell],
    *,
    fixed: Sequence[str],
    config: DictConfig,
    loader: ConfigLoader,
) -> dict[str, DictConfig]:
    """Gives every cell's configuration.

    Raises:
        UserError: naming each cell that cannot run, and why.
    """
    found: dict[str, DictConfig] = {}
    problems: list[str] = []
    for cell in cells:
        try:
            composed = loader.load_sweep_config(config, [*fixed, *cell.overrides])
            with open_dict(composed):
                del composed.hydra  # its names of folders exist for jobs only
            check(composed)
        except (UserError, HydraException, OmegaConfBaseException) as error:
            problems.append(f"{cell.name} ({' '.join(cell.overrides)}): {error}")
            continue
        found[cell.name] = composed
        problems += [f"{cell.name}: {problem}" for problem in _unmeasured(ablation.metrics, composed)]
    if problems:
        raise UserError(f"ablation={ablation.name} cannot run:\n{joined(problems)}")
    return found


def _unmeasured(metrics: Mapping[str, Any], config: DictConfig) -> Iterator[str]:
    for metric in metrics:
        part = metric.partition(".")[0]
        if part in MEASURED_BY and config.evaluation.get(part) is None:
            way = "fewstep" if part == "fewstep" else "preview"
            yield f"ablation.metrics: {metric} is not measured; add evaluation={way} to ablation.overrides"


def _points(ablation: Ablation, cells: Sequence[Cell]) -> list[Point]:
    """Gives the runs: a seed's whole row before the next, so that what is there can be compared in pairs."""
    planned = [{CELL: cell.number, SEED: seed} for seed in ablation.seeds for cell in cells]
    again = [cell for cell in cells if cell.name in ablation.confirm.cells or cell is cells[0]]
    return planned + [{CELL: cell.number, SEED: seed} for seed in ablation.confirm.seeds for cell in again]


def _plan(ablation: Ablation, cells: Sequence[Cell]) -> Plan:
    space = Space({CELL: IntDistribution(0, 2**NUM_BITS - 1), SEED: IntDistribution(0, 2**31 - 1)})
    return Plan(
        space=space, points=_points(ablation, cells), recipe={}, searches=False, max_hours=ablation.max_hours
    )
