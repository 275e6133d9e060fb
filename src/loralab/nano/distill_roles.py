"""Distillation into few steps: three networks of one form, and what each learns in one update.

    drawn = rollout(student, noise)                          8 steps, no gradient
    data = state_k - sigma_k * student(state_k, sigma_k)     one step k of each picture again, with gradient
    push = matching(real = base, fake) + guidance(base, alpha - 1)
    student: mean((data - stop(data + push))^2) / 2 + coupled * coupled loss on the base's pairs
    fake:    mean((fake(noised prediction) - (noise - prediction))^2), some updates, on predictions of the same rollout

Decoupled DMD; `loralab.objectives.distribution` has the push and its clock. The base is asked without guidance in the
matching term, over the whole range of sigma, and with guidance at sigmas cleaner than sigma_k. The student is begun on
the base's pairs alone (`loralab.nano.distill_pairs`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from loralab.flow import clean_estimate, few_step_sigmas, rollout
from loralab.flow.few_step import Rollout
from loralab.flow.shift import shift_sigma
from loralab.flow.solver import Velocity
from loralab.nano.distill_draws import Draws, Text
from loralab.nano.distill_pairs import Pairs
from loralab.nano.distill_recipe import Recipe
from loralab.objectives.distribution import (
    coupled_loss,
    fake_loss,
    guidance_direction,
    matching_direction,
    pushed_loss,
)

Predict = Callable[..., Tensor]
"""`predict(network, noisy, *, sigma, prompt_embeds, lengths)`, for instance `batched_velocity`."""
LEAST_SIGMA, MOST_SIGMA = 0.02, 0.98
WARM_BETAS = (0.9, 0.99)
BETAS = (0.0, 0.99)  # the push turns with every update of the fake: no momentum (arXiv:2405.14867, appendix)


class Distillation:
    """The base, the student that learns its pictures, the fake that learns the student's, and the student's average."""

    def __init__(self, base: nn.Module, *, predict: Predict, empty: Text, recipe: Recipe) -> None:
        """Starts student, fake and average from the base; `empty` is the empty caption."""
        # Frozen ones keep requires_grad, so that one compiled forward without gradient serves all four.
        self.base, self.predict, self.empty, self.recipe = base, predict, empty, recipe
        self.student, self.fake, self.average = (copy.deepcopy(base) for _ in range(3))
        self.trained = {"student": self.student, "fake": self.fake, "average": self.average}
        self.sigmas = few_step_sigmas(recipe.num_steps, shift=recipe.shift)
        self._grid = self.sigmas.to(empty.embeds.device)
        self.optimizers = {
            "warm": _optimizer(self.student, lr=recipe.warm_lr, betas=WARM_BETAS),
            "student": _optimizer(self.student, lr=recipe.student_lr),
            "fake": _optimizer(self.fake, lr=recipe.fake_lr),
        }
        self.begun = self.step = 0

    def velocity(self, network: nn.Module, text: Text) -> Velocity:
        """One network under these captions."""

        def velocity(noisy: Tensor, sigma: Tensor) -> Tensor:
            return self.predict(
                network, noisy, sigma=sigma, prompt_embeds=text.embeds, lengths=text.lengths
            ).float()

        return velocity

    def draw(self, network: nn.Module, noise: Tensor, *, text: Text) -> Rollout:
        """What a network draws on the student's grid."""
        return rollout(self.velocity(network, text), noise, sigmas=self._grid)

    def begin(self, pairs: Pairs, *, text: Text, draws: Draws, factor: float = 1.0) -> dict[str, Tensor]:
        """One step of the student on pairs alone, and of its average."""
        self.optimizers["warm"].param_groups[0]["lr"] = self.recipe.warm_lr * factor
        loss = self.coupled(pairs, text=text, draws=draws)
        norm = _descend(loss, self.student, optimizer=self.optimizers["warm"])
        self._follow()
        self.begun += 1
        return {"coupled": loss.detach(), "student_norm": norm}

    def update(
        self,
        noise: Tensor,
        *,
        text: Text,
        draws: Draws,
        factor: float = 1.0,
        pairs: tuple[Pairs, Text] | None = None,
    ) -> dict[str, Tensor]:
        """One update of the student and several of the fake; figures stay on the device, for nobody to wait."""
        drawn = self.draw(self.student, noise, text=text)
        self.optimizers["student"].param_groups[0]["lr"] = self.recipe.student_lr * factor
        loss, figures = self._student_loss(drawn, text=text, draws=draws)
        if pairs is not None and self.recipe.coupled:
            coupled = self.coupled(pairs[0], text=pairs[1], draws=draws)
            loss, figures["coupled"] = loss + self.recipe.coupled * coupled, coupled.detach()
        figures["student_norm"] = _descend(loss, self.student, optimizer=self.optimizers["student"])
        self._follow()
        self.step += 1
        return figures | self.update_fake(drawn, text=text, draws=draws)

    def update_fake(self, drawn: Rollout, *, text: Text, draws: Draws) -> dict[str, Tensor]:
        """Several updates of the fake on the predictions of one rollout, each time of other steps."""
        for _ in range(self.recipe.fake_updates):
            predictions = _of_steps(
                drawn.predictions, draws.index(len(text.lengths), below=len(drawn.predictions))
            )
            loss = fake_loss(
                self.velocity(self.fake, text),
                predictions=predictions,
                noise=draws.normal(predictions.shape),
                sigma=draws.uniform(len(predictions)).to(predictions.device, non_blocking=True),
            ).mean()
            norm = _descend(loss, self.fake, optimizer=self.optimizers["fake"])
        return {"fake_loss": loss.detach(), "fake_norm": norm}

    def _student_loss(self, drawn: Rollout, *, text: Text, draws: Draws) -> tuple[Tensor, dict[str, Tensor]]:
        """The pushed loss of one random step of each picture, and figures of the push."""
        steps = draws.index(len(text.lengths), below=self.recipe.num_steps)
        step_sigma = self.sigmas[steps]
        state = _of_steps(drawn.states, steps)
        level = step_sigma.to(state.device, non_blocking=True)
        data = clean_estimate(state, self.velocity(self.student, text)(state, level), level)
        base, empty = self.velocity(self.base, text), self.empty.repeated(len(data))
        matching = matching_direction(
            data,
            real=base,
            fake=self.velocity(self.fake, text),
            noise=draws.normal(data.shape),
            sigma=draws.uniform(len(data), low=LEAST_SIGMA, high=MOST_SIGMA),
        )
        guidance = guidance_direction(
            data,
            conditional=base,
            unconditional=self.velocity(self.base, empty),
            noise=draws.normal(data.shape),
            sigma=LEAST_SIGMA + (step_sigma.clamp(max=MOST_SIGMA) - LEAST_SIGMA) * draws.uniform(len(data)),
            step_sigma=step_sigma,
            strength=self.recipe.alpha - 1,
        )
        figures = {
            "rel_gap": matching.rel_gap.mean(),
            "cosine": matching.cosine.mean(),
            "matching": matching.delta.square().mean().sqrt(),
            "guidance": guidance.square().mean().sqrt(),
        }
        return pushed_loss(data, matching.delta + guidance).mean(), figures

    def coupled(self, pairs: Pairs, *, text: Text, draws: Draws) -> Tensor:
        """The coupled loss at sigmas that lie as close as those of the student's grid."""
        sigma = shift_sigma(draws.uniform(len(pairs.rows)), self.recipe.shift)
        sigma = sigma.to(pairs.noise.device, non_blocking=True)
        velocity = self.velocity(self.student, text)
        return coupled_loss(velocity, noise=pairs.noise, data=pairs.data, sigma=sigma).mean()

    @torch.no_grad()
    def _follow(self) -> None:
        """Moves the average; the weights of its mean add to one from the first update on, as in `adapter.ema`."""
        decay = self.recipe.decay
        share = (1 - decay) / (1 - decay ** (self.begun + self.step + 1))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.student.parameters()), share)

    def state_dict(self) -> dict[str, Any]:
        """Gives all that resuming needs."""
        networks = {name: network.state_dict() for name, network in self.trained.items()}
        optimizers = {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()}
        return {"begun": self.begun, "step": self.step, "networks": networks, "optimizers": optimizers}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes up a `state_dict`."""
        self.begun, self.step = state["begun"], state["step"]
        for name, network in self.trained.items():
            network.load_state_dict(state["networks"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])


def _optimizer(network: nn.Module, *, lr: float, betas: tuple[float, float] = BETAS) -> torch.optim.Optimizer:
    parameters = list(network.parameters())
    return torch.optim.AdamW(parameters, lr, betas=betas, weight_decay=0.0, fused=parameters[0].is_cuda)


def _descend(loss: Tensor, network: nn.Module, *, optimizer: torch.optim.Optimizer) -> Tensor:
    """Takes one step down; gives the gradient's norm before it was cut to 1."""
    loss.backward()
    norm = nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm.detach()


def _of_steps(stack: Float[Tensor, " num b c h w"], steps: Int[Tensor, " b"]) -> Float[Tensor, " b c h w"]:
    """Gives each picture at its own step."""
    steps = steps.to(stack.device, non_blocking=True)
    return stack[steps, torch.arange(len(steps), device=stack.device)]
