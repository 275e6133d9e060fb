"""The mathematics: paths, sigmas, shifts, noise and the solver. Imports torch and nothing of ours."""

from loralab.flow.few_step import Rollout, few_step_sigmas, rollout
from loralab.flow.noise import seeded_noise, seeded_uniform
from loralab.flow.path import clean_estimate, expand, interpolate, target_velocity
from loralab.flow.shift import ConstantShift, Shift, TokenShift, shift_sigma
from loralab.flow.shifted_logit_normal import ShiftedLogitNormal
from loralab.flow.sigmas import LogitNormal, Shifted, SigmaSampler, Uniform
from loralab.flow.solver import euler

__all__ = [
    "ConstantShift",
    "LogitNormal",
    "Rollout",
    "Shift",
    "Shifted",
    "ShiftedLogitNormal",
    "SigmaSampler",
    "TokenShift",
    "Uniform",
    "clean_estimate",
    "euler",
    "expand",
    "few_step_sigmas",
    "interpolate",
    "rollout",
    "seeded_noise",
    "seeded_uniform",
    "shift_sigma",
    "target_velocity",
]
