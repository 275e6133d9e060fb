"""From the plain values of `conf/ablation/<name>.yaml` to a checked definition; an unknown key is an error."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from loralab.errors import UserError, joined
from loralab.study.ablation.definition import Ablation, Claim, Confirm, Expected, Factor

KEYS = (
    "name", "title", "question", "overrides", "factors", "design", "generators", "seeds", "metrics", "budget", "alpha",
    "confirm", "claim",
)  # fmt: skip
PARTS: Mapping[str, tuple[str, ...]] = {
    "budget": ("max_runs", "max_hours"),
    "confirm": ("cells", "seeds"),
    "claim": ("text", "metric", "margin", "expected", "says", "does_not_say"),
}
NEEDED = ("title", "factors", "seeds", "metrics")
CLAIM_NEEDS = ("text", "metric", "margin", "expected", "says", "does_not_say")


def read_ablation(plain: Mapping[str, Any], *, name: str) -> Ablation:
    """Reads a definition.

    Args:
        plain: what the file holds, with what was typed.
        name: of the file.

    Raises:
        UserError: naming every key that is unknown, missing or of the wrong kind.
    """
    if problems := list(_problems(plain)):
        raise UserError(f"ablation={name} cannot be read:\n{joined(problems)}")
    budget, confirm = plain.get("budget") or {}, plain.get("confirm") or {}
    return Ablation(
        name=str(plain.get("name") or name),
        title=str(plain["title"]),
        question=str(plain.get("question") or ""),
        overrides=_texts(plain.get("overrides")),
        factors=tuple(_factor(str(key), each) for key, each in plain["factors"].items()),
        design=str(plain.get("design") or "one_at_a_time"),
        generators={str(key): _texts(each) for key, each in (plain.get("generators") or {}).items()},
        seeds=tuple(plain["seeds"]),
        metrics={str(key): str(each) for key, each in plain["metrics"].items()},
        max_runs=budget.get("max_runs"),
        max_hours=budget.get("max_hours"),
        alpha=plain.get("alpha", 0.05),
        confirm=Confirm(_texts(confirm.get("cells")), tuple(confirm.get("seeds") or ())),
        claim=_claim(plain["claim"]) if plain.get("claim") else None,
    )


def _problems(plain: Mapping[str, Any]) -> Iterator[str]:
    yield from _unknown(plain, KEYS, where="ablation")
    yield from (f"ablation.{key} must be given" for key in NEEDED if not plain.get(key))
    for key in ("factors", "metrics", *PARTS):
        if not isinstance(plain.get(key) or {}, Mapping):
            yield f"ablation.{key} must have keys and values"
            return
    for key, known in PARTS.items():
        yield from _unknown(plain.get(key) or {}, known, where=f"ablation.{key}")
    if claim := plain.get("claim"):
        yield from (
            f"ablation.claim.{key} must be given" for key in CLAIM_NEEDS if claim.get(key) in (None, "")
        )
    for name, factor in (plain.get("factors") or {}).items():
        yield from _factor_problems(f"ablation.factors.{name}", factor)
    for key, seeds in (
        ("seeds", plain.get("seeds")),
        ("confirm.seeds", (plain.get("confirm") or {}).get("seeds")),
    ):
        if seeds is not None and not (_is_list(seeds) and all(isinstance(seed, int) for seed in seeds)):
            yield f"ablation.{key}={seeds} must be a list of whole numbers, as [0, 1, 2, 3, 4]"


def _factor_problems(where: str, factor: Any) -> Iterator[str]:
    if not isinstance(factor, Mapping):
        yield f"{where} needs baseline and levels"
        return
    yield from _unknown(factor, ("baseline", "levels"), where=where)
    yield from (
        f"{where}.{key} must be given" for key in ("baseline", "levels") if factor.get(key) in (None, {})
    )
    for level, lines in (factor.get("levels") or {}).items():
        if lines is not None and not _is_list(lines):
            yield f"{where}.levels.{level}={lines} must be a list of overrides, as [adapter.rank=16]"
        yield from (
            f"{where}.levels.{level}: {line!r} is no override, as adapter.rank=16"
            for line in (lines if _is_list(lines) else ())
            if "=" not in str(line)
        )


def _unknown(plain: Mapping[str, Any], known: Sequence[str], *, where: str) -> Iterator[str]:
    for key in plain:
        if key not in known:
            near = difflib.get_close_matches(str(key), known) or known
            yield f"{where}.{key} is no setting; known: {', '.join(near)}"


def _factor(name: str, plain: Mapping[str, Any]) -> Factor:
    levels = {str(level): _texts(lines) for level, lines in plain["levels"].items()}
    return Factor(name, str(plain["baseline"]), levels)


def _claim(plain: Mapping[str, Any]) -> Claim:
    expected = tuple(
        Expected(str(each["cell"]), str(each.get("against", "baseline")), str(each.get("expects")))
        for each in plain["expected"]
    )
    texts = {key: " ".join(str(plain[key]).split()) for key in ("text", "says", "does_not_say")}
    return Claim(metric=str(plain["metric"]), margin=float(plain["margin"]), expected=expected, **texts)


def _texts(lines: Any) -> tuple[str, ...]:
    return tuple(str(line) for line in lines or ())


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
