"""A study's summary in sections of words and tables, ready to be printed anywhere."""

from __future__ import annotations

from dataclasses import dataclass

from loralab.report.study import words
from loralab.report.study.importance import FEWEST
from loralab.report.study.lines import command, overrides_of
from loralab.report.study.ranking import place
from loralab.report.study.record import FAILED, FINISHED, INFEASIBLE, PRUNED, RUNNING, WAITING, Row
from loralab.report.study.summary import Summary, score_at_documented_length


@dataclass(frozen=True)
class Section:
    """A heading, a table (its first row names the columns) and lines below it."""

    title: str
    table: tuple[tuple[str, ...], ...] = ()
    lines: tuple[str, ...] = ()


def sections(summary: Summary, *, num_best: int = 10) -> list[Section]:
    """Gives all sections that have something to say."""
    made = [
        _heading(summary),
        _best(summary, num_best),
        _recipe(summary),
        _importance(summary),
        _failures(summary),
        _cost(summary),
        _lines(summary),
    ]
    return [section for section in made if section.table or section.lines]


def _heading(summary: Summary) -> Section:
    settings, counted = summary.record.settings, summary.counts
    goals = ", ".join(f"{direction} {metric}" for metric, direction in summary.record.objectives.items())
    made = ", ".join(
        str(settings[key]) for key in ("model", "design", "sampler", "pruner") if settings.get(key)
    )
    states = (FINISHED, PRUNED, INFEASIBLE, FAILED, RUNNING, WAITING)
    lines = [
        f"{goals} ({made})",
        ", ".join(f"{counted[state]} {state}" for state in states if state in counted) or "no trial yet",
        *settings.get("widened", ()),
    ]
    return Section(
        f"Study {summary.record.name}: {words.plural(len(summary.record.rows), 'trial')}", (), tuple(lines)
    )


def _best(summary: Summary, num_best: int) -> Section:
    record = summary.record
    is_front = len(record.objectives) > 1
    title = "Pareto front" if is_front else "Best trials"
    if not summary.best:
        return Section(title, (), ("no trial has finished within the limits",))
    head = ("trial", *record.objectives, *record.params, "length", "wall time", "peak memory")
    shown = summary.best if is_front else summary.best[:num_best]
    return Section(title, (head, *(_trial(summary, row) for row in shown)))


def _trial(summary: Summary, row: Row) -> tuple[str, ...]:
    params = (words.number(row.params.get(name)) for name in summary.record.params)
    mark = " (recipe)" if row.is_recipe else "" if row.answered_by is None else f" (as {row.answered_by})"
    return (
        f"{row.number}{mark}",
        *map(words.number, row.values or ()),
        *params,
        words.number(row.length),
        words.duration(row.cost.get("wall_time_s")),
        words.gibibytes(row.cost.get("peak_memory_gib")),
    )


def _recipe(summary: Summary) -> Section:
    record, row = summary.record, summary.record.recipe
    if row is None:
        return Section("Recipe", (), ("the documented setting is not among the trials",))
    if row.values is None or row not in record.finished:
        return Section("Recipe", (), (f"trial {row.number} is the documented setting: {row.state}",))
    values = ", ".join(
        f"{name} {value:.6g}" for name, value in zip(record.objectives, row.values, strict=True)
    )
    lines = [f"trial {row.number}: {values}; place {place(record, row)} of {len(record.finished)}"]
    documented = score_at_documented_length(record)
    if documented is not None and documented[0] != row.length:
        lines.append(f"at its documented {documented[0]} steps the score was {documented[1]:.6g}")
    if drawn := record.drawn_in_recipe:
        lines.append(f"its {', '.join(drawn)} was drawn: the documented value lies outside what is searched")
    return Section("Recipe", (), tuple(lines))


def _importance(summary: Summary) -> Section:
    title = "Importance for being among the best (PED-ANOVA)"
    num_finished = sum(row.values is not None for row in summary.record.rows)
    if not summary.shares:
        few = f"{words.plural(num_finished, 'trial')} finished: too few to say; {FEWEST} are the least"
        return Section(title, (), (few,))
    rows = [(each.name, f"{each.value:.0%}", f"{each.low:.0%} to {each.high:.0%}") for each in summary.shares]
    note = f"intervals: 95 % of bootstrap resamples of the {num_finished} finished trials"
    return Section(title, (("parameter", "share", "interval"), *rows), (note,))


def _failures(summary: Summary) -> Section:
    lines = [
        f"{len(each.numbers)} x {each.reason} ({words.trials(each.numbers)}; see {each.folder or 'no folder'})"
        for each in summary.failures
    ]
    lines += [f"{words.plural(count, 'trial')} {reason}" for reason, count in summary.limits.items()]
    if summary.retries.num_attempts:
        again = summary.retries
        lines.append(f"{words.plural(again.num_attempts, 'repeated attempt')}, {again.num_finished} finished")
    return Section("What came to nothing", (), tuple(lines))


def _cost(summary: Summary) -> Section:
    cost = summary.cost
    memory = words.gibibytes(cost.peak_memory_gib) or "unknown"
    lines = [
        f"{words.plural(cost.num_runs, 'run')}: {words.duration(cost.wall_time_s)} in all, "
        f"{words.duration(cost.train_s)} of it training; peak memory {memory}",
        f"loading and encoding: {words.duration(cost.overhead_per_run_s)} for each run",
    ]
    if cost.steps_saved:
        saved = (
            f"{cost.steps_saved} of {cost.steps_trained + cost.steps_saved} steps ({cost.saved_share:.0%})"
        )
        lines.append(f"pruning saved {saved}")
    if cost.num_answered:
        lines.append(
            f"{words.plural(cost.num_answered, 'trial')} answered from another trial's curve: nothing was run"
        )
    return Section("Cost", (), tuple(lines))


def _lines(summary: Summary) -> Section:
    title = (
        "To repeat each point of the front" if len(summary.record.objectives) > 1 else "To repeat the best"
    )
    lines = (command(overrides_of(summary.record, row)) for row in summary.repeated)
    return Section(title, (), tuple(lines))
