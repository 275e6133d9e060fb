"""Two-level fractional designs: a chosen half (or quarter, ...) of all combinations of factors with two levels each.

Code the baseline's level +1 and the other -1. Some factors run through all combinations; each other one is the product
of some of these, its generator, so that a run's levels multiply to +1 over every word of the defining relation (Box and
Hunter 1961, The 2^(k-p) fractional factorial designs). The resolution is the length of the shortest word: at III a main
effect is one with a product of two, at IV products of two are one with each other, at V all of these can be told apart.
The baseline, all +1, belongs to every such fraction.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

from loralab.errors import UserError
from loralab.study.ablation.definition import Ablation

LEAST_RESOLUTION = 3


@dataclass(frozen=True)
class Fraction:
    """A fraction of all combinations.

    Attributes:
        points: {factor: level} of every cell.
        words: of the defining relation.
        resolution: the length of the shortest word.
        aliases: effects of one or two factors that cannot be told apart.
    """

    points: tuple[dict[str, str], ...]
    words: tuple[frozenset[str], ...]
    resolution: int
    aliases: tuple[str, ...]


def fraction_of(ablation: Ablation) -> Fraction:
    """Gives the fraction that an ablation asks for.

    Raises:
        UserError: for factors that have not two levels, generators that are none, and a resolution below III.
    """
    names = [factor.name for factor in ablation.factors]
    if uneven := [
        f"{each.name} has {len(each.levels)}" for each in ablation.factors if len(each.levels) != 2
    ]:
        raise UserError(
            f"design=fractional takes factors of two levels: {', '.join(uneven)}; use design=factorial"
        )
    generators = dict(ablation.generators) or _half(names)
    _require_known(generators, names)
    words = _words([frozenset({name, *product}) for name, product in generators.items()])
    shortest = min(words, key=lambda word: len(word))
    resolution = len(shortest)
    if resolution < LEAST_RESOLUTION:
        raise UserError(
            f"ablation.generators give resolution {resolution}: "
            f"{' x '.join(sorted(shortest))} cannot be told apart; at least {LEAST_RESOLUTION} is needed"
        )
    return Fraction(tuple(_points(ablation, generators)), words, resolution, tuple(_aliases(names, words)))


def _half(names: list[str]) -> dict[str, tuple[str, ...]]:
    """Gives the half fraction whose one word has all factors: its resolution is their number."""
    if len(names) < LEAST_RESOLUTION:
        raise UserError(
            f"design=fractional needs at least {LEAST_RESOLUTION} factors, not {len(names)}; use factorial"
        )
    return {names[-1]: tuple(names[:-1])}


def _require_known(generators: Mapping[str, tuple[str, ...]], names: list[str]) -> None:
    for name, product in generators.items():
        free = [each for each in names if each not in generators]
        if (
            name not in names
            or not set(product) <= set(free)
            or len(set(product)) < len(product)
            or not product
        ):
            raise UserError(
                f"ablation.generators.{name}={list(product)}: a factor is the product of others that have no generator "
                f"of their own ({', '.join(free)})"
            )


def _words(generators: list[frozenset[str]]) -> tuple[frozenset[str], ...]:
    """Gives all products of the generating words; a factor twice is none."""
    found = []
    for count in range(1, len(generators) + 1):
        for chosen in itertools.combinations(generators, count):
            word: frozenset[str] = frozenset()
            for each in chosen:
                word = word ^ each
            found.append(word)
    return tuple(found)


def _points(ablation: Ablation, generators: Mapping[str, tuple[str, ...]]) -> list[dict[str, str]]:
    free = [factor.name for factor in ablation.factors if factor.name not in generators]
    others = {f.name: next(level for level in f.levels if level != f.baseline) for f in ablation.factors}
    points = []
    for signs in itertools.product((1, -1), repeat=len(free)):
        coded = dict(zip(free, signs, strict=True))
        coded |= {name: math.prod(coded[each] for each in product) for name, product in generators.items()}
        points.append({f.name: f.baseline if coded[f.name] > 0 else others[f.name] for f in ablation.factors})
    return points


def _aliases(names: list[str], words: tuple[frozenset[str], ...]) -> list[str]:
    """Names the effects of one or two factors that are one with another such effect."""
    effects = [frozenset(each) for count in (1, 2) for each in itertools.combinations(names, count)]
    pairs = [(one, other) for one, other in itertools.combinations(effects, 2) if one ^ other in words]
    return [f"{_product(one, names)} = {_product(other, names)}" for one, other in pairs]


def _product(effect: frozenset[str], names: list[str]) -> str:
    return " x ".join(name for name in names if name in effect)
