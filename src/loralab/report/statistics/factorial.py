"""Which factors matter, and whether one changes what another does: an analysis of variance with the seed as block.

    value ~ C(seed) + C(a, Sum) * C(b, Sum) + ...        ordinary least squares, type II sums of squares

Interactions of two factors are included where the design can tell them apart. The share of a term is partial eta
squared, SS / (SS + SS of the residual). Its p rests on residuals that are normal and equally spread, which few seeds
cannot show.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

RESIDUAL = "residual"
BLOCK = "seed"
EXACT = 1e-20
"""Share of all squares below which a residual is rounding alone."""


@dataclass(frozen=True)
class Term:
    """A row of the table; `f`, `p` and `share` (partial eta squared) are None for the residual."""

    name: str
    df: float
    sum_squares: float
    f: float | None
    p: float | None
    share: float | None


def analysis_of_variance(
    rows: Sequence[Mapping[str, object]],
    *,
    factors: Sequence[str],
    with_interactions: bool,
) -> tuple[tuple[Term, ...], str]:
    """Fits a linear model of factors and seeds.

    Args:
        rows: of `value`, `seed` and the level of each factor, one for each finished run.
        factors: names of the factors.
        with_interactions: whether products of two factors are told apart from each other and from single ones.

    Returns:
        The terms, the residual last, and the model in words; no terms where there are too few runs to fit it.
    """
    import numpy as np
    import pandas
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    columns = {name: f"factor_{index}" for index, name in enumerate(factors)}
    plain = [{"value": row["value"], BLOCK: row[BLOCK]} for row in rows]
    levels = [{column: str(row[name]) for name, column in columns.items()} for row in rows]
    frame = pandas.DataFrame([{**one, **other} for one, other in zip(plain, levels, strict=True)])
    coded = _products(
        [f"C({column}, Sum)" for column in columns.values()], ":", with_interactions=with_interactions
    )
    names = [BLOCK, *_products(factors, " x ", with_interactions=with_interactions)]
    model = " + ".join(names)
    if frame.empty or any(frame[column].nunique() < 2 for column in (BLOCK, *columns.values())):
        return (), model
    fitted = ols(" + ".join([f"value ~ C({BLOCK})", *coded]), frame).fit()
    design = fitted.model.exog
    is_exact = fitted.ssr <= EXACT * fitted.centered_tss
    if fitted.df_resid < 1 or np.linalg.matrix_rank(design) < design.shape[1] or is_exact:
        return (), model
    table = anova_lm(fitted, typ=2).to_dict("records")
    residual = float(table[-1]["sum_sq"])
    terms = [_term(name, row, residual=residual) for name, row in zip(names, table[:-1], strict=True)]
    return (*terms, Term(RESIDUAL, float(table[-1]["df"]), residual, None, None, None)), model


def _products(names: Sequence[str], sign: str, *, with_interactions: bool) -> list[str]:
    pairs = itertools.combinations(names, 2) if with_interactions else ()
    return [*names, *(sign.join(pair) for pair in pairs)]


def _term(name: str, row: Mapping[str, float], *, residual: float) -> Term:
    squares = float(row["sum_sq"])
    share = squares / (squares + residual)
    return Term(name, float(row["df"]), squares, float(row["F"]), float(row["PR(>F)"]), share)
