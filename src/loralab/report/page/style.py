"""What came out of a run in words and tables: the headline, the style learned, and what else moved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loralab.report.page.parts import Cell, Section, Table, TableRow, Text, number_cell

PIXELS_AND_FEATURES = (
    "Pixels: mean absolute difference in [-1, 1]. Features: one minus the cosine in a network trained on ImageNet, "
    "over places and five resolutions. Small figures are 95 % intervals over captions."
)


def headline(result: Mapping[str, Any], *, is_few_step: bool) -> str:
    """Says in one sentence what came out."""
    if few := result.get("fewstep"):
        return (
            f"At few steps the pictures lie {few['frechet']:.2f} from held-out ones (Fréchet distance; the untouched "
            f"checkpoint's {few['base']['frechet']:.2f}), with {few['sharpness']:.0%} of its sharpness."
        )
    if style := result.get("style"):
        pixel, share = style["pixel"], style["pixel"]["share_improved"]["value"]
        change = pixel["adapter"] / pixel["base"] - 1
        nearer = f"{abs(change):.0%} {'nearer to' if change < 0 else 'farther from'}"
        return (
            f"Held-out pictures are {nearer} their true pictures than the base's (pixel distance "
            f"{pixel['base']:.3f} before, {pixel['adapter']:.3f} after); "
            f"{share:.0%} of {style['num_held_out']} captions came nearer."
        )
    if len(history := result.get("validation") or []) > 1:
        (_, first), (step, last) = history[0], history[-1]
        if is_few_step:
            return (
                f"Flow-matching error {first:.4f} before training, {last:.4f} after {step} steps: a detector, no "
                "score. It falls as the distillation is lost; look at the pictures at few steps."
            )
        return f"Validation loss {first:.4f} before training, {last:.4f} after {step} steps ({last / first - 1:+.1%})."
    return f"{result['steps']} steps." if "steps" in result else "Nothing was measured."


def sections(style: Mapping[str, Any] | None) -> tuple[Section, ...]:
    """Gives the style score of result.json in two sections; none where there is no score."""
    if not style:
        return ()
    seeds = f"{style['num_seeds']} picture{'' if style['num_seeds'] == 1 else 's'} each"
    learned = f"Distance to the true picture of {style['num_held_out']} captions that training did not see, {seeds}."
    rest = (
        f"Distance between the base's and the adapter's pictures of {style['num_no_trigger']} captions without the "
        "trigger, beside what another seed does to the base's."
    )
    return (
        Section(
            "Was the style learned?",
            (Text(learned), _compared(style), Text(PIXELS_AND_FEATURES, "quiet"), _sets(style)),
        ),
        Section("Does the rest stay as it was?", (Text(rest), _drift(style))),
    )


def _compared(style: Mapping[str, Any]) -> Table:
    rows = tuple(_distance(name, style[key]) for name, key in (("pixels", "pixel"), ("features", "feature")))
    head = ("to the truth", "base", "adapter", "difference", "nearer")
    return Table(title="Distance to the truth", head=head, rows=rows)


def _distance(name: str, compared: Mapping[str, Any]) -> TableRow:
    share, difference = compared["share_improved"], compared["difference"]
    return TableRow(
        (
            Cell(name),
            number_cell(compared["base"], f"{compared['base']:.3f}"),
            number_cell(compared["adapter"], f"{compared['adapter']:.3f}"),
            _interval(difference, "+.3f"),
            number_cell(
                share["value"],
                f"{100 * share['value']:.0f} %",
                note=f"{100 * share['low']:.0f} to {100 * share['high']:.0f} %",
            ),
        )
    )


def _sets(style: Mapping[str, Any]) -> Table:
    cells = (number_cell(value, f"{value:.3f}") for value in style["frechet"].values())
    row = TableRow((Cell("Fréchet distance to the true set"), *cells))
    return Table(title="As sets", head=("as sets", *style["frechet"]), rows=(row,))


def _drift(style: Mapping[str, Any]) -> Table:
    rows = tuple(
        TableRow(
            (
                Cell(name),
                _interval(style[key]["adapter"], ".3f"),
                _interval(style[key]["other_seed"], ".3f"),
                number_cell(style[key]["ratio"], f"{style[key]['ratio']:.2f}"),
            )
        )
        for name, key in (("pixels", "drift_pixel"), ("features", "drift_feature"))
    )
    return Table(
        title="How far pictures moved",
        head=("in", "moved by the adapter", "by another seed", "ratio"),
        rows=rows,
    )


def _interval(found: Mapping[str, float], form: str) -> Cell:
    return number_cell(
        found["value"], f"{found['value']:{form}}", note=f"{found['low']:{form}} to {found['high']:{form}}"
    )
