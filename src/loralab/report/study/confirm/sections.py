"""What a confirmation says, in sections for the screen and in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from loralab.report.study.confirm.arms import RECIPE, Arm
from loralab.report.study.confirm.comparison import Comparison
from loralab.report.study.confirm.confirmed import TITLES, Confirmed
from loralab.report.study.lines import command
from loralab.report.study.sections import Section

FEWEST_ARMS = 2
HEAD = ("arm", "seeds", "mean", "difference to the recipe", "95 % interval", "p", "verdict")


def confirm_sections(result: Confirmed) -> list[Section]:
    """Gives the verdicts, a table for each metric, what the search had promised, and the lines."""
    made = [
        _verdicts(result),
        *(_table(result, metric) for metric in result.values),
        _promised(result),
        Section("What came to nothing", (), result.problems),
        Section(
            f"Lines, each with seed={result.seeds[0]} to {result.seeds[-1]}",
            (),
            tuple(f"{arm.title}: {command(arm.overrides)}" for arm in result.arms),
        ),
    ]
    return [section for section in made if section.table or section.lines]


def markdown(sections: Sequence[Section]) -> str:
    """Gives sections as Markdown; the first heading is the title."""
    parts = []
    for index, section in enumerate(sections):
        parts.append(f"{'##' if index else '#'} {section.title}")
        if section.table:
            head, *rows = section.table
            parts.append("\n".join([_row(head), _row(["---"] * len(head)), *map(_row, rows)]))
        if section.lines:
            parts.append("\n".join(f"- {_item(line)}" for line in section.lines))
    return "\n\n".join(parts) + "\n"


def _verdicts(result: Confirmed) -> Section:
    titles = {arm.name: arm.title for arm in result.arms}
    lines = [f"{_title(each.metric)}, {titles[each.arm]}: {_said(each)}" for each in result.comparisons]
    compared = {(each.metric, each.arm) for each in result.comparisons}
    lines += [
        f"{_title(metric)}, {arm.title}: too few seeds finished to compare"
        for metric in result.values
        for arm in result.arms[1:]
        if (metric, arm.name) not in compared
    ]
    lines += _limits(result)
    return Section(f"Study {result.study}: the best against the recipe, over fresh seeds", (), tuple(lines))


def _title(metric: str) -> str:
    return TITLES.get(metric, metric)


def _said(found: Comparison) -> str:
    relative = f", {found.difference.value / found.recipe:+.1%}" if found.recipe else ""
    return f"{found.verdict} ({found.mean:.6g} against {found.recipe:.6g}{relative})"


def _limits(result: Confirmed) -> list[str]:
    """Says what the figures cannot show."""
    if not result.comparisons:
        return []
    num_seeds, least = min((len(each.seeds), each.least_p) for each in result.comparisons)
    lines = [
        "the verdict rests on the interval, which takes differences to be normal; the exact sign-flip test over "
        f"{num_seeds} seeds cannot give a p below {least:.4g}, whatever the difference"
    ]
    if len(result.arms) > FEWEST_ARMS:
        lines.append(
            "each interval is for its arm alone; the more arms, the likelier that one is off by chance"
        )
    return lines


def _table(result: Confirmed, metric: str) -> Section:
    by_arm = {each.arm: each for each in result.comparisons if each.metric == metric}
    rows = [_arm(arm, result.values[metric][arm.name], by_arm.get(arm.name)) for arm in result.arms]
    better = "more" if result.directions[metric] == "maximize" else "less"
    return Section(f"{_title(metric)} ({better} is better)", (HEAD, *rows))


def _arm(arm: Arm, values: Mapping[int, float], found: Comparison | None) -> tuple[str, ...]:
    mean = f"{sum(values.values()) / len(values):.6g}" if values else ""
    if found is None:
        return (arm.title, str(len(values)), mean, "", "", "", "" if arm.name == RECIPE else "not compared")
    interval = found.difference
    ends = f"{interval.low:+.3g} to {interval.high:+.3g}"
    return (
        arm.title,
        str(len(values)),
        mean,
        f"{interval.value:+.3g}",
        ends,
        f"{found.p:.3g}",
        found.verdict,
    )


def _promised(result: Confirmed) -> Section:
    """A search picks what was lucky as well as what is good: its best value is better than what comes again."""
    titles = {arm.name: arm.title for arm in result.arms}
    rows = [
        (
            titles[each.arm], _title(each.metric), f"{each.searched:.6g}", f"{each.fresh.value:.6g}",
            f"{each.fresh.low:.6g} to {each.fresh.high:.6g}", f"{each.gap:+.3g}",
        )
        for each in result.optimism
    ]  # fmt: skip
    head = ("arm", "metric", "the search said", "fresh seeds say", "95 % interval", "optimism")
    note = "optimism above 0: the search's value was better than what fresh seeds give"
    return Section("Search optimism", (head, *rows) if rows else (), (note, *_gains(result)) if rows else ())


def _gains(result: Confirmed) -> list[str]:
    """Sets the gain over the recipe that the search saw beside the one that came again: a lucky seed is in neither."""
    arms = {arm.name: arm for arm in result.arms}
    recipe = arms[RECIPE].searched
    lines = []
    for each in result.comparisons:
        arm = arms[each.arm]
        if each.metric in recipe and each.metric in arm.searched:
            seen = arm.searched[each.metric] - recipe[each.metric]
            again = f"the search saw {seen:+.3g}, fresh seeds give {each.difference.value:+.3g}"
            lines.append(f"{_title(each.metric)}, {arm.title} against the recipe: {again}")
    return lines


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _item(line: str) -> str:
    title, _, text = line.partition(": python ")
    return f"{title}: `python {text}`" if text else line.replace("\n", "\n  ")
