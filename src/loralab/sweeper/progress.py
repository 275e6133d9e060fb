"""How a sweep goes: one live table on a terminal, plain lines elsewhere, and at the end what to type next."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from loralab.study import Draw, Plan, StudySettings, attrs, persistently, trial_of
from loralab.study.space import Point

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial
    from rich.table import Table

log = logging.getLogger("loralab")
REFRESH_S = 2.0
LONG_FRACTION = re.compile(r"-?\d+\.\d+(e-?\d+)?")


class Progress:
    """Tells of running, finished and pruned trials, and how long the rest may take."""

    def __init__(
        self, study: Study, *, settings: StudySettings, plan: Plan, sets: Callable[[Point], list[str]]
    ) -> None:
        """Begins the clock; `plan` says how many trials there will be, `sets` what a point sets."""
        self._study, self._settings, self._sets = study, settings, sets
        self._total = max(len(plan.points), settings.num_trials if plan.searches else 0)
        self._running: dict[int, tuple[Draw, float]] = {}
        self._seconds: list[float] = []

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Shows the table during the block where there is a terminal."""
        log.info("%s; %d trials", _where(self._settings), self._total)
        if not sys.stdout.isatty():
            yield
            return
        from rich.console import Console
        from rich.live import Live

        with (
            Live(
                get_renderable=self._table,
                console=Console(),
                refresh_per_second=1 / REFRESH_S,
                transient=True,
            ),
            _lines_above(),
        ):
            yield

    def began(self, draw: Draw) -> None:
        """Notes a trial that was launched."""
        self._running[draw.number] = (draw, time.monotonic())
        log.info("trial %d began: %s", draw.number, " ".join(self._sets(draw.point)))

    def ended(self, draw: Draw) -> None:
        """Says what came of a trial, and how long the others may take."""
        _, start = self._running.pop(draw.number)
        self._seconds.append(time.monotonic() - start)
        trial = persistently(lambda: trial_of(self._study, draw.number))
        log.info("trial %d %s; %s", draw.number, _told(trial), self._state())

    def summary(self) -> None:
        """Says what was best and what to type next."""
        from loralab.report.study import lines, recorded
        from loralab.report.study.ranking import best_rows

        record = persistently(lambda: recorded(self._study))
        for row in best_rows(record)[:1]:
            log.info(
                "best     trial %d, %s", row.number, _told(self._study.get_trials(deepcopy=False)[row.number])
            )
            log.info("again    %s", lines.command(lines.overrides_of(record, row)))
        if not best_rows(record):
            log.warning("no trial has a score yet")
        log.info("folder   %s", self._settings.folder)
        log.info("more     python -m loralab study %s", self._settings.name)

    def _state(self) -> str:
        counts = _counts(persistently(lambda: self._study.get_trials(deepcopy=False)))
        done = counts["complete"] + counts["pruned"]
        told = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
        left = self._left(max(self._total - done, 0))
        return f"{done} of {self._total} ({told}){left}"

    def _left(self, num_left: int) -> str:
        if not self._seconds or not num_left:
            return ""
        seconds = sum(self._seconds) / len(self._seconds) * num_left / self._settings.num_workers
        return f", about {_duration(seconds)} left"

    def _table(self) -> Table:
        from rich.table import Table

        trials = self._study.get_trials(deepcopy=False)
        best = _best(self._study)
        value = f"; best {best[0].values[0]:.5g} (trial {best[0].number})" if best else ""
        table = Table(title=f"study {self._settings.name}: {self._state()}{value}", title_justify="left")
        for column in ("trial", "sets", "step", "score", "time"):
            table.add_column(column)
        for number, (draw, start) in sorted(self._running.items()):
            reported = trials[number].intermediate_values
            step = max(reported, default=None)
            table.add_row(
                str(number),
                " ".join(map(_short, self._sets(draw.point))),
                "" if step is None else str(step),
                "" if step is None else f"{reported[step]:.5g}",
                _duration(time.monotonic() - start),
            )
        return table


@contextlib.contextmanager
def _lines_above() -> Iterator[None]:
    """Sends log lines through the live display, which has put its own stream in the place of stdout."""
    handlers = [h for h in logging.getLogger().handlers if type(h) is logging.StreamHandler]
    streams = [handler.setStream(sys.stdout) for handler in handlers]
    try:
        yield
    finally:
        for handler, stream in zip(handlers, streams, strict=True):
            if stream is not None:
                handler.setStream(stream)


def _short(override: str) -> str:
    """Gives an override with a long fraction rounded."""
    key, _, text = override.partition("=")
    return f"{key}={float(text):.4g}" if LONG_FRACTION.fullmatch(text) else override


def _where(settings: StudySettings) -> str:
    return f"study {settings.name} in {settings.folder}"


def _best(study: Study) -> list[FrozenTrial]:
    """Gives the best feasible trial, or all that none beats in every objective; empty without any."""
    from optuna.trial import TrialState

    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        return []
    return study.best_trials


def _counts(trials: list[FrozenTrial]) -> dict[str, int]:
    counts = {"complete": 0, "pruned": 0, "running": 0, "fail": 0}
    for trial in trials:
        if (state := trial.state.name.lower()) in counts:
            counts[state] += 1
    counts["failed"] = counts.pop("fail")
    return counts


def _told(trial: FrozenTrial) -> str:
    state = trial.state.name.lower()
    if attrs.PRUNED_AT in trial.user_attrs:
        return f"{state} at step {trial.user_attrs[attrs.PRUNED_AT]}"
    if trial.values is not None:
        scores = ", ".join(f"{value:.5g}" for value in trial.values)
        length: Any = trial.user_attrs.get(attrs.LENGTH)
        return f"{state}: {scores}" + (f" at step {length}" if length else "")
    return f"{state}: {str(trial.user_attrs.get(attrs.ERROR, '')).partition(chr(10))[0]}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
