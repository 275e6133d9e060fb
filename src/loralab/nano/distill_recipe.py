"""The settings of a distillation, apart from what uses them: the command line shows their defaults."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings of a distillation.

    Attributes:
        num_steps, shift: the grid of the student.
        alpha: the guidance to distil, 1 for none; Z-Image's guidance_scale is alpha - 1.
        warm_lr: peak of the student's while it is begun on pairs.
        student_lr, fake_lr: peak of the student's, constant of the fake's, which has to keep up.
        fake_updates: of the fake for one of the student.
        coupled: weight of the coupled loss beside the push, which keeps every picture where its noise had it.
        decay: of the average of the student's weights, which is what is drawn with and kept.
    """

    num_steps: int = 8
    shift: float = 3.0
    alpha: float = 1.25
    warm_lr: float = 4e-4
    student_lr: float = 2e-5
    fake_lr: float = 1e-4
    fake_updates: int = 5
    coupled: float = 0.25
    decay: float = 0.99
