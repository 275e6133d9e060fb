"""The page of bench/turbo.py, from its figures alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.turbo_conditions import PRESETS, Condition, best_preset, conditions, validity
from bench.turbo_figures import Figures, Row

MAIN = "truth turbo teacher naive base2turbo adapter coupled dm_aware".split()
COLUMNS = {
    "Fréchet, 8 steps": "frechet",
    "of naive": "ratio",
    "NFE gap": "nfe_gap",
    "sharpness": "sharpness_of_truth",
    "precision": "precision",
    "recall": "recall",
    "accuracy": "accuracy",
    "prior, of Turbo": "prior_ratio",
    "drift": "drift",
    "seconds": "seconds",
}
RATES = {
    "Fréchet, 8 steps": "frechet",
    "32 steps": "frechet_32",
    "NFE gap": "nfe_gap",
    "sharpness, 8 steps": "sharpness_of_truth",
    "32 steps ": "sharpness_of_truth_32",
}


HEAD = "| concept | what | found | limit | |\n| --- | --- | --- | --- | --- |"


def page(figures: Figures, *, base: Row, groups: Mapping[str, Sequence[str]], opening: str) -> str:
    """Gives docs/turbo.md."""
    parts = [
        opening,
        *_section(figures, "De-distillation", ["turbo", "naive", *groups.get("rates", ())], columns=RATES),
        *_section(figures, "Presets", MAIN),
    ]
    for group, title, whole in (
        ("ablation", "With the coupled targets, and that without one term", "dm_aware"),
        ("rank", "Rank", "adapter"),
        ("short", "With 0.6 of the first stage's steps and half of the second's", "naive"),
    ):
        if set(groups.get(group, ())) & set(figures.arms):
            parts += _section(figures, title, [whole, *groups[group]])
    parts.append(_listed("Is the benchmark valid?", validity(figures, base)))
    there = [arm for arm in PRESETS if arm in figures.arms]
    parts += [_listed(f"Conditions: {arm}", conditions(figures, arm=arm)) for arm in there]
    parts.append(
        f"Most conditions hold for `{best_preset(figures)}`." if there else "No preset is scored here yet."
    )
    return "\n\n".join(parts) + "\n"


def _section(
    figures: Figures, title: str, arms: Sequence[str], *, columns: Mapping[str, str] = COLUMNS
) -> list[str]:
    """Gives a heading and a table for each concept."""
    tables = [
        f"### {concept}\n{figures.table(concept, arms, columns=columns)}" for concept in figures.concepts
    ]
    return [f"## {title}", *tables]


def _listed(title: str, found: Sequence[Condition]) -> str:
    return f"## {title}\n" + "\n".join([HEAD, *(each.line for each in found)])
