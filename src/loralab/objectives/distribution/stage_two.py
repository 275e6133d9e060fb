"""The second stage: the student on the bare checkpoint, at the sigmas at which it is used.

    L = coupled  mean |v(noisy) - (noise - data)|^2        (noise, data) the ends of one path of the teacher's ODE
      + dm       mean |x - stop(x + delta)|^2 / 2          x what the student believes at a step of its own rollout
      + anchor   mean |v(state) - v_bare(state)|^2         states of the bare checkpoint on prior prompts

All sigmas but those of delta are the grid's. `delta` comes from loralab.objectives.distribution.directions, with the
teacher as the real network and the fake one as that which follows the student: after each step it learns the student's
predictions of that step's rollouts, `updates` times. Each term has its own backward pass, so that one network's
activations are in memory at a time, inside the block in which its adapters are active.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from loralab.adapter.roles import FAKE, STUDENT, TEACHER
from loralab.flow import clean_estimate, rollout, seeded_noise, seeded_uniform
from loralab.flow.noise import generator
from loralab.objectives.distribution.bank import Bank
from loralab.objectives.distribution.banks import Banks
from loralab.objectives.distribution.cast import Cast, Embeds
from loralab.objectives.distribution.directions import guidance_direction, matching_direction
from loralab.objectives.distribution.losses import anchor_loss, coupled_loss, fake_loss, pushed_loss
from loralab.objectives.distribution.settings import GRADIENT_COST, Fake, Matching, Weights
from loralab.objectives.objective import sent

if TYPE_CHECKING:
    from loralab.data.batch import Batch

Signals = dict[str, Tensor | float]


@dataclass(frozen=True)
class _Drawn:
    """What the student believed at each step of a rollout; the fake network learns from it."""

    predictions: Tensor
    embeds: Embeds
    index: int


@dataclass
class StageTwo:
    """Adds the gradients of the second stage; whoever uses it steps the optimizers.

    Attributes:
        cast: who plays what.
        banks: reads the banks.
        pairs, prior: what the coupled loss and the anchor read; None where their weight is 0.
        weights: of the terms.
        dm: how the scores are asked.
        guidance: strength of the push beyond the caption; 0 is off.
        fake: how the fake network learns.
        empty: embeddings of the empty prompt, for guidance.
        seed: of the run.
        accumulate: micro-batches of one step.
    """

    cast: Cast
    banks: Banks
    pairs: Bank | None
    prior: Bank | None
    weights: Weights
    dm: Matching
    guidance: float
    fake: Fake
    empty: Tensor | None
    seed: int
    accumulate: int
    cost: Counter[str] = field(default_factory=Counter)
    _drawn: list[_Drawn] = field(default_factory=list)

    def micro_step(self, batch: Batch, *, pushes: bool = True) -> Signals:
        """Adds the student's gradients of one micro-batch; gives every loss without its weight.

        Args:
            batch: captions and the size of pictures; its pictures are not used.
            pushes: False while the fake network is not to be trusted yet.
        """
        signals: Signals = {}
        with self.cast.student.roles.active(STUDENT):
            if self.pairs is not None:
                signals |= self._coupled(self.pairs, batch)
            if self.weights.dm > 0:
                signals |= self._matched(batch, pushes=pushes)
            if self.prior is not None:
                signals |= self._anchored(self.prior, batch)
        return signals

    def update_fake(self, optimizer: torch.optim.Optimizer | None, *, clip: float | None) -> Signals:
        """Lets the fake network learn what the student drew since the last call; nothing where it drew nothing."""
        drawn, self._drawn = self._drawn, []
        if optimizer is None or not drawn:
            return {}
        scores, losses = self.cast.scores, []
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        with scores.roles.active(*scores.under, FAKE):
            for update in range(self.fake.updates):
                losses += [self._fake_errors(one, update=update) for one in drawn]
                if clip is not None:
                    torch.nn.utils.clip_grad_norm_(parameters, clip)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
        return {"loss/fake": torch.stack(losses).mean()}

    def spent(self) -> float:
        """Gives the forward passes since the last call, one with a backward pass counting three."""
        spent = self.cost.total()
        self.cost.clear()
        return float(spent)

    def _coupled(self, bank: Bank, batch: Batch) -> Signals:
        entries = bank.drawn(len(batch), seed=self.seed, stream="coupled", index=batch.index)
        pairs = self.banks.paired(bank, entries, seed=self.seed)
        steps = self._steps(len(batch), stream="coupled/step", index=batch.index)
        sigma = sent(self.banks.grid.sigmas(entries[0].shape)[steps], pairs.noise.device)
        velocity = self.cast.student.as_it_stands(pairs.embeds)
        loss = coupled_loss(velocity, noise=pairs.noise, data=pairs.data, sigma=sigma).mean()
        return {"loss/coupled": self._added(loss, self.weights.coupled, cost=GRADIENT_COST * len(batch))}

    def _anchored(self, bank: Bank, batch: Batch) -> Signals:
        entries = bank.drawn(len(batch), seed=self.seed, stream="anchor", index=batch.index)
        steps = self._steps(len(batch), stream="anchor/step", index=batch.index)
        known = self.banks.states(bank, entries, steps=steps)
        velocity = self.cast.student.as_it_stands(known.embeds)
        loss = anchor_loss(
            velocity, lambda noisy, sigma: known.velocity, states=known.states, sigma=known.sigma
        ).mean()
        return {"loss/anchor": self._added(loss, self.weights.anchor, cost=GRADIENT_COST * len(batch))}

    def _matched(self, batch: Batch, *, pushes: bool) -> Signals:
        shape, device = batch.latents.shape, batch.latents.device
        grid = self.banks.grid.sigmas(shape)
        noise = self._noise(batch, "rollout")
        velocity = self.cast.student.as_it_stands(batch.prompt_embeds)
        drawn = rollout(velocity, noise, sigmas=sent(grid, device))
        self.cost["rollout"] += len(batch) * self.banks.grid.num_steps
        self._drawn.append(_Drawn(drawn.predictions, batch.prompt_embeds, batch.index))
        signals: Signals = {"x0/std": drawn.states[-1].std()}
        if not pushes:
            return signals
        steps = self._steps(len(batch), stream="dm/step", index=batch.index)
        state = torch.stack([drawn.states[step, place] for place, step in enumerate(steps)])
        level = grid[steps]
        sigma = sent(level, device)
        data = clean_estimate(state, velocity(state, sigma), sigma)
        delta, told = self._push(data.detach(), batch, level=level)
        loss = (batch.weight * pushed_loss(data, delta)).mean()
        told["loss/dm"] = self._added(loss, self.weights.dm, cost=GRADIENT_COST * len(batch))
        return signals | told

    def _push(self, data: Tensor, batch: Batch, *, level: Tensor) -> tuple[Tensor, Signals]:
        """Gives where to push, asking the scores while the student's graph waits."""
        embeds, scores = batch.prompt_embeds, self.cast.scores
        real, fake = scores.velocity(embeds, TEACHER), scores.velocity(embeds, FAKE)
        low, high = self.dm.sigmas
        uniform = seeded_uniform(len(batch), seed=self.seed, stream="dm/sigma", index=batch.index)
        sigma = sent(low + (high - low) * uniform, data.device)
        direction = matching_direction(
            data, real=real, fake=fake, noise=self._noise(batch, "dm"), sigma=sigma, floor=self.dm.floor
        )
        self.cost["scores"] += 2 * len(batch)
        signals: Signals = {"dm/rel_gap": direction.rel_gap.mean(), "dm/cos": direction.cosine.mean()}
        if not self.guidance:
            return direction.delta, signals
        return direction.delta + self._guided(data, batch, level=level), signals

    def _guided(self, data: Tensor, batch: Batch, *, level: Tensor) -> Tensor:
        """Gives the push beyond the caption, at sigmas cleaner than those at which the student drew."""
        assert self.empty is not None
        scores, low = self.cast.scores, self.dm.sigmas[0]
        uniform = seeded_uniform(len(batch), seed=self.seed, stream="guidance/sigma", index=batch.index)
        self.cost["scores"] += 2 * len(batch)
        return guidance_direction(
            data,
            conditional=scores.velocity(batch.prompt_embeds, TEACHER),
            unconditional=scores.velocity([self.empty] * len(batch), TEACHER),
            noise=self._noise(batch, "guidance"),
            sigma=low + (level - low).clamp_min(0) * uniform,
            step_sigma=level,
            strength=self.guidance,
            floor=self.dm.floor,
        )

    def _fake_errors(self, drawn: _Drawn, *, update: int) -> Tensor:
        """Adds the fake network's gradients of one rollout: of one prediction of each picture."""
        count, device = drawn.predictions.shape[1], drawn.predictions.device
        steps = self._steps(count, stream=f"fake/{update}/step", index=drawn.index)
        predictions = torch.stack([drawn.predictions[step, place] for place, step in enumerate(steps)])
        noise = seeded_noise(
            predictions.shape, seed=self.seed, stream=f"fake/{update}/noise", index=drawn.index
        )
        sigma = seeded_uniform(count, seed=self.seed, stream=f"fake/{update}/sigma", index=drawn.index)
        velocity = self.cast.scores.as_it_stands(drawn.embeds)
        loss = fake_loss(
            velocity, predictions=predictions, noise=sent(noise, device), sigma=sent(sigma, device)
        )
        return self._added(loss.mean(), 1.0, cost=GRADIENT_COST * count)

    def _added(self, loss: Tensor, weight: float, *, cost: int) -> Tensor:
        """Runs the backward pass of a term while its adapters are active; gives the loss itself."""
        (weight / self.accumulate * loss).backward()
        self.cost["gradients"] += cost
        return loss.detach()

    def _noise(self, batch: Batch, stream: str) -> Tensor:
        noise = seeded_noise(batch.latents.shape, seed=self.seed, stream=f"{stream}/noise", index=batch.index)
        return sent(noise, batch.latents.device)

    def _steps(self, count: int, *, stream: str, index: int) -> list[int]:
        """Gives a step of the grid for each sample."""
        source = generator(seed=self.seed, stream=stream, index=index)
        steps: Sequence[int] = torch.randint(self.banks.grid.num_steps, (count,), generator=source).tolist()
        return list(steps)
