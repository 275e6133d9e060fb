"""The two banks: what the bare checkpoint draws for the prior, and the ends of the teacher's paths for the concept.

prior    states of the few-step solver, [n + 1, c, h, w]: the last is a picture, and neighbouring ones give the
         checkpoint's own velocity back, (state_{k+1} - state_k) / (sigma_{k+1} - sigma_k), so that the anchor
         costs no forward pass of the bare network
pairs    data at the end of the teacher's ODE, [c, h, w]; the noise at its start is a function of seed and number
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from loralab.denoiser import Denoiser
from loralab.flow import euler, rollout, seeded_noise
from loralab.flow.solver import Velocity
from loralab.objectives.distribution.bank import Bank, Entry, Shape, bank_of
from loralab.objectives.objective import sent

PRIOR_SEED = 40_400
"""The prior belongs to the checkpoint, not to the run: the same pictures for every run and seed."""

Asked = Callable[[list[Tensor]], Velocity]
"""Gives the velocity of whoever draws, for prompt embeddings."""


@dataclass(frozen=True)
class Grid:
    """The sigmas at which a checkpoint is sampled in so many steps.

    Attributes:
        denoiser: the checkpoint.
        num_steps: calls of a picture.
    """

    denoiser: Denoiser
    num_steps: int

    def sigmas(self, shape: Sequence[int]) -> Float[Tensor, " num_steps_plus_1"]:
        """Gives them from 1 to 0 for latents of a shape, on the CPU."""
        return self.denoiser.sampling_sigmas(num_steps=self.num_steps, latents_shape=shape)


class Pictures(NamedTuple):
    """Latents with their prompts."""

    latents: Float[Tensor, " b c h w"]
    embeds: list[Tensor]


class Pairs(NamedTuple):
    """Both ends of paths, with their prompts."""

    noise: Float[Tensor, " b c h w"]
    data: Float[Tensor, " b c h w"]
    embeds: list[Tensor]


class States(NamedTuple):
    """Where the bare checkpoint stood, at which sigma, and with which velocity it went on."""

    states: Float[Tensor, " b c h w"]
    sigma: Float[Tensor, " b"]
    velocity: Float[Tensor, " b c h w"]
    embeds: list[Tensor]


@dataclass(frozen=True)
class Banks:
    """Makes banks and reads batches of them, on the denoiser's device.

    Attributes:
        embeds: gives the embeddings of a prompt.
        shown: every prompt of the concept in every shape in which it is trained.
        grid: of the few-step checkpoint.
        at_once: pictures drawn together.
        about: what drawn pictures depend on besides weights, prompts and sigmas: the text encoder, the precision.
    """

    embeds: Callable[[str], Tensor]
    shown: tuple[tuple[str, Shape], ...]
    grid: Grid
    at_once: int
    about: tuple[str, ...]

    def prior(self, prompts: Sequence[str], *, size: int, root: Path, bare: Asked, weights: str) -> Bank:
        """Gives the bank of the prior, drawing what is missing; `weights` digests who draws."""
        shapes = list(dict.fromkeys(shape for _, shape in self.shown))
        items = list(zip(itertools.cycle(prompts), shapes * len(prompts), strict=False))
        sigmas = {shape: self.grid.sigmas(shape).tolist() for shape in shapes}
        bank = bank_of(items, size=size, root=root, fingerprint=("prior", weights, sigmas, *self.about))

        def draw(entries: Sequence[Entry]) -> Tensor:
            shape, embeds = entries[0].shape, self._embeds(entries)
            noise = self._noise(entries, seed=PRIOR_SEED, stream="prior")
            return rollout(bare(embeds), noise, sigmas=self.grid.sigmas(shape)).states.transpose(0, 1)

        bank.fill(draw, at_once=self.at_once, label="draw the prior")
        return bank

    def pairs(self, path: Grid, *, size: int, root: Path, teacher: Asked, weights: str, seed: int) -> Bank:
        """Gives the bank of the concept's pairs, drawing what is missing; `weights` digests who draws."""
        about = ("pairs", weights, path.num_steps, seed, *self.about)
        bank = bank_of(self.shown, size=size, root=root, fingerprint=about)

        @torch.no_grad()
        def draw(entries: Sequence[Entry]) -> Tensor:
            noise = self._noise(entries, seed=seed, stream="pairs")
            sigmas = path.sigmas(entries[0].shape).to(noise.device)
            return euler(teacher(self._embeds(entries)), noise, sigmas)

        bank.fill(draw, at_once=self.at_once, label="draw the teacher's pairs")
        return bank

    def pictures(self, bank: Bank, entries: Sequence[Entry]) -> Pictures:
        """Reads what the bare checkpoint draws."""
        ends = bank.read_states(entries, steps=[self.grid.num_steps - 1] * len(entries))
        return Pictures(sent(ends[:, 1].contiguous(), self._device), self._embeds(entries))

    def paired(self, bank: Bank, entries: Sequence[Entry], *, seed: int) -> Pairs:
        """Reads both ends of the teacher's paths."""
        noise = self._noise(entries, seed=seed, stream="pairs")
        return Pairs(noise, sent(bank.read(entries), self._device), self._embeds(entries))

    def states(self, bank: Bank, entries: Sequence[Entry], *, steps: Sequence[int]) -> States:
        """Reads where the bare checkpoint stood at a step of each entry."""
        sigmas = self.grid.sigmas(entries[0].shape)
        here, there = sigmas[list(steps)], sigmas[[step + 1 for step in steps]]
        pair = bank.read_states(entries, steps=steps)
        velocity = (pair[:, 1] - pair[:, 0]) / (there - here).view(-1, 1, 1, 1)
        state, sigma, velocity = (sent(x, self._device) for x in (pair[:, 0].contiguous(), here, velocity))
        return States(state, sigma, velocity, self._embeds(entries))

    @property
    def _device(self) -> torch.device:
        return self.grid.denoiser.device

    def _embeds(self, entries: Sequence[Entry]) -> list[Tensor]:
        return [sent(self.embeds(entry.prompt), self._device) for entry in entries]

    def _noise(self, entries: Sequence[Entry], *, seed: int, stream: str) -> Tensor:
        drawn = [seeded_noise(e.shape, seed=seed, stream=f"{stream}/noise", index=e.number) for e in entries]
        return sent(torch.stack(drawn), self._device)
