"""Where trials in threads of their own meet at one network: their passes are taken together, nothing else of theirs is.

A trial is an ordinary run, which asks for a velocity, differentiates its own loss down to that velocity and asks for
the network's part of the backward pass. `serve` waits until every trial that takes part waits for an answer, and gives
it to all in one pass:

    forward passes without gradients (validation) at once, those of a kind together;
    then the forward passes of a training step, those of a kind together, and their backward pass before any other.

A trial that ends between the two passes leaves a gradient of zero behind. Trials take part from their first question
until they leave or step aside, so that what they do besides (loading, writing) holds nobody up.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from loralab.packed.base import PackedBase, Part

log = logging.getLogger(__name__)
POLL_S = 0.2
"""How long the serving thread sleeps at most: signals are handled in between."""


class PackFailedError(SystemExit):
    """The shared network could not answer: a fault of the pack, not of the trial that asked.

    It ends a trial as a signal does: a study repeats it, from its last checkpoint, and counts no failure.
    """


@dataclass
class _Question:
    """What a trial waits for: a velocity for a part, or the backward pass of a gradient."""

    turn: int
    part: Part | None = None
    learns: bool = False
    gradient: Tensor | None = None
    answer: Tensor | None = None
    failure: str | None = None
    is_answered: bool = False


class Meeting:
    """Answers the questions of all trials; `serve` runs in one thread, everything else in those of the trials."""

    def __init__(self, base: PackedBase) -> None:
        """Waits for the first trial."""
        self._base = base
        self._changed = threading.Condition()
        self._asked: dict[int, _Question | None] = {}
        self._turns = itertools.count()
        self._open: dict[int, Tensor] = {}
        self._closed = False
        self.failure: str | None = None
        self.cause: Exception | None = None
        self.num_passes: dict[int, int] = {}

    def velocity(self, part: Part) -> Float[Tensor, " b c h w"]:
        """Asks for a velocity, as a leaf that takes the loss's gradient where gradients are on."""
        learns = torch.is_grad_enabled()
        answer = self._ask(part.slot, _Question(next(self._turns), part=part, learns=learns))
        assert answer is not None
        return answer.requires_grad_(learns)

    def backward(self, slot: int, gradient: Tensor) -> None:
        """Asks for the network's part of the backward pass; the adapter's gradients are there afterwards."""
        self._ask(slot, _Question(next(self._turns), gradient=gradient))

    def leave(self, slot: int) -> None:
        """Takes part no longer, until the next question if there is one; does nothing for who has left."""
        with self._changed:
            self._asked.pop(slot, None)
            self._changed.notify_all()

    def close(self) -> None:
        """Lets `serve` return when nobody takes part any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def serve(self, *, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Answers until the meeting is closed and all have left; calls `meanwhile` several times a second."""
        while True:
            with self._changed:
                while not self._is_ready():
                    if self._closed and not self._asked:
                        return
                    self._changed.wait(POLL_S)
                    meanwhile()
                questions = {slot: asked for slot, asked in self._asked.items() if asked is not None}
            chosen = self._chosen(questions)
            self._answer(chosen)
            meanwhile()

    def _ask(self, slot: int, question: _Question) -> Tensor | None:
        with self._changed:
            if self.failure is not None:
                raise PackFailedError(self.failure)
            self._asked[slot] = question
            self._changed.notify_all()
            while not question.is_answered:
                self._changed.wait()
        if question.failure is not None:
            raise PackFailedError(question.failure)
        return question.answer

    def _is_ready(self) -> bool:
        return bool(self._asked) and all(asked is not None for asked in self._asked.values())

    def _chosen(self, questions: dict[int, _Question]) -> dict[int, _Question]:
        """Picks what one pass can answer: of kinds that cannot share one, that which has waited longest."""
        backward = {slot: asked for slot, asked in questions.items() if asked.part is None}
        if backward:
            return backward
        self._open = {}  # whoever was in it has gone
        looking = {slot: asked for slot, asked in questions.items() if not asked.learns}
        kinds: dict[object, dict[int, _Question]] = {}
        for slot, asked in (looking or questions).items():
            assert asked.part is not None
            kinds.setdefault(asked.part.kind, {})[slot] = asked
        return min(kinds.values(), key=lambda kind: min(asked.turn for asked in kind.values()))

    def _answer(self, chosen: dict[int, _Question]) -> None:
        """Runs a pass; what goes wrong in it is everybody's."""
        failure = None
        try:
            first = next(iter(chosen.values()))
            if first.part is None:
                self._backward(chosen)
            else:
                self._forward(chosen, learns=first.learns)
        except Exception as error:
            self.cause = error
            log.exception("the pack of %d trials has failed", self._base.width)
            failure = f"the pack of {self._base.width} trials has failed by {type(error).__name__}"
        with self._changed:
            self.failure = failure
            for slot, asked in (chosen if failure is None else dict(self._asked)).items():
                if asked is not None:
                    asked.failure, asked.is_answered = failure, True
                    self._asked[slot] = None
            self._changed.notify_all()

    def _forward(self, chosen: dict[int, _Question], *, learns: bool) -> None:
        parts: Sequence[Part] = [asked.part for asked in chosen.values() if asked.part is not None]
        velocities = self._base.velocities(parts, learns=learns)
        for part, velocity in zip(parts, velocities, strict=True):
            chosen[part.slot].answer = velocity.detach()
        if learns:
            self._open = {part.slot: v for part, v in zip(parts, velocities, strict=True)}
            self.num_passes[len(parts)] = self.num_passes.get(len(parts), 0) + 1

    def _backward(self, chosen: dict[int, _Question]) -> None:
        passed, self._open = self._open, {}
        slots = [slot for slot in passed if slot in chosen]
        gradients = [chosen[slot].gradient for slot in slots]
        torch.autograd.backward([passed[slot] for slot in slots], gradients)
        self._base.collect(slots)
