"""`sweeps/README.md`, written from the files beside it."""

from __future__ import annotations

from collections.abc import Iterable

from loralab.ranges.read import Sweep
from loralab.ranges.safe import Bound, SafeRange, number

TEXT = """# What may be set and searched, and why
`python -m loralab.ranges` writes this page from the files beside it; a test holds the two together.

Each file is a model's **safe ranges**: for a setting, the lowest and highest value that a document, another trainer or
a measurement supports, the recommended one (the recipe of `conf/model`), and where each number comes from. Where
sources disagree, the source says so. A number in *italics* binds searches only: what a single run loses beyond it is
time, memory or a minute of the twin. Learning rates are meant at `adapter.alpha` = `adapter.rank` unless the row says
otherwise. What has no row has no source and is not guarded, such as `schedule_free`, `adafactor` and `muon`, for which
no trainer publishes a rate on these models, or a model of your own.

## Single runs
`python train.py model=flux2_klein9b optimizer.lr=1e-3 dataset.root=photos/` is refused, with the range, its source and
the way back. `safety=warn` trains all the same and logs a warning; `safety=off` logs one line and goes on.

## Sweeps
`python train.py -m sweep=flux2_klein9b model=flux2_klein9b dataset.root=photos/` searches what `search` lists in the
file (`safe` is the whole safe range), with `overrides` in every trial. The command line comes after both:

```bash
python train.py -m sweep=flux2_klein9b model=flux2_klein9b dataset.root=photos/ \\
    'optimizer.lr=tag(log, interval(3e-5, 8e-5))' adapter.rank=16    # a narrower rate, and one rank
```
A search that reaches beyond a safe range is refused unless `safety=warn` or `safety=off` is typed, and the study keeps
what was widened. `dataset.validation_fraction=0.1` makes the score, the loss on pictures that training does not see;
where you have pictures for that, type `dataset.validation_root=... dataset.validation_fraction=0`.

## A model of your own
`sweeps/<name>.yaml`, where `<name>` is the `name` of its `conf/model` file. Of several entries for one key the first
whose `when` holds counts. `low` or `high` may be left out where nothing supports one; a source may not.
"""


def page(sweeps: Iterable[Sweep]) -> str:
    """Gives the whole page."""
    return TEXT + "".join(_section(sweep) for sweep in sweeps)


def _section(sweep: Sweep) -> str:
    rows = [
        f"\n## {sweep.name}",
        "| key | where | low | recommended | high | drawn | sources |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(_row(safe) for safe in sweep.ranges),
    ]
    searched = ", ".join(f"`{key}={text}`" for key, text in sweep.search.items())
    fixed = ", ".join(f"`{line}`" for line in sweep.overrides)
    return "\n".join(rows) + f"\n\nSearched: {searched}; in every trial: {fixed}.\n"


def _row(safe: SafeRange) -> str:
    bounds = {"low": safe.low, "recommended": safe.recommended, "high": safe.high}
    sources: dict[str, list[str]] = {}
    for name, bound in bounds.items():
        if bound:
            sources.setdefault(bound.source, []).append(name)
    said = "<br>".join(f"{', '.join(names)}: {source}" for source, names in sources.items())
    cells = (
        f"`{safe.key}`",
        _where(safe),
        *map(_cell, bounds.values()),
        "log" if safe.is_log else "evenly",
        said,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _where(safe: SafeRange) -> str:
    """Gives the condition; an optimizer goes by the name of its class."""
    conditions = []
    for key, values in safe.when.items():
        listed = " or ".join(f"`{str(value).rpartition('.')[2]}`" for value in values)
        conditions.append(listed if key == "optimizer._target_" else f"`{key}` = {listed}")
    return ", ".join(conditions) or "always"


def _cell(bound: Bound | None) -> str:
    if bound is None:
        return "any"
    return f"*{number(bound.value)}*" if bound.is_search_only else number(bound.value)
