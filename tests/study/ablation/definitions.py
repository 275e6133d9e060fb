"""Small ablations to start from."""

from __future__ import annotations

from typing import Any

from loralab.study.ablation import Ablation, read_ablation


def plain(**changed: Any) -> dict[str, Any]:
    """Gives a definition as a file holds it: rank of two levels, rate of three."""
    return {
        "title": "Rank and rate",
        "overrides": ["steps=40"],
        "factors": {
            "rank": {"baseline": 16, "levels": {16: ["adapter.rank=16"], 4: ["adapter.rank=4"]}},
            "rate": {
                "baseline": "x1",
                "levels": {
                    "x1": ["optimizer.lr=3e-3"],
                    "x2": ["optimizer.lr=6e-3"],
                    "x4": ["optimizer.lr=1.2e-2"],
                },
            },
        },
        "seeds": [0, 1, 2],
        "metrics": {"style.distance": "minimize", "validation_loss": "minimize"},
        **changed,
    }


def ablation(**changed: Any) -> Ablation:
    """Gives it as it is read."""
    return read_ablation(plain(**changed), name="small")


def two_levels(names: str, **changed: Any) -> Ablation:
    """Gives an ablation of factors of one letter with two levels each."""
    factors = {
        name: {"baseline": "on", "levels": {"on": [f"{name}=1"], "off": [f"{name}=0"]}} for name in names
    }
    return ablation(factors=factors, design="fractional", overrides=[], **changed)
