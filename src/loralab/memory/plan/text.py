"""A plan as lines of text: what is trained, what every stage needs, and what else there is to choose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loralab.memory.plan.activations import Peaks
from loralab.memory.plan.choose import Choice, Option
from loralab.memory.plan.stages import Run, Stage, largest

MIB = 2**20


@dataclass(frozen=True)
class Plan:
    """What was predicted.

    Attributes:
        model: its name.
        size: of a training picture or clip.
        card: name of the card; None plans for no card, and says no times.
        budget_gib: what may be used of it; None for no limit.
        taken: what the run would do.
        stages: predicted for it.
        choice: the planner's, with its neighbours; None where nothing fits.
        chosen: the run would do what the planner chose (memory=auto).
    """

    model: str
    size: str
    card: str | None
    budget_gib: float | None
    taken: Option
    stages: Sequence[Stage]
    choice: Choice | None
    chosen: bool


def lines(plan: Plan, peaks: Peaks, run: Run) -> list[str]:
    """Gives the lines that `python -m loralab plan` prints."""
    return [*_heading(plan, peaks, run), "", *_table(plan, run), "", *_remarks(plan, peaks)]


def remarks(choice: Choice, *, timed: bool = True) -> list[str]:
    """Says what was chosen and what stands on either side of it."""
    pairs = (("chosen", choice.taken), ("next cheaper", choice.cheaper), ("next dearer", choice.dearer))
    return [f"{name:14}{_said(option, timed=timed)}" for name, option in pairs]


def duration(seconds: float) -> str:
    """Gives hours, minutes and seconds."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


def _heading(plan: Plan, peaks: Peaks, run: Run) -> Iterator[str]:
    subject = peaks.subject
    adapter, tokens = subject.adapter, subject.tokens
    layers = sum(layer.adapted for layer in peaks.layers)
    several = f" of {run.micro_batches} such" if run.micro_batches > 1 else ""
    yield (
        f"model         {plan.model}: {subject.micro_batch} x {plan.size}"
        f" ({tokens.picture} + {tokens.prompt} tokens), {run.num_steps} steps{several}"
    )
    yield (
        f"adapter       rank {adapter.rank} on {layers} layers: {peaks.num_parameters:,} parameters,"
        f" {4 * peaks.num_parameters / MIB:.1f} MiB"
    )
    yield f"optimizer     {adapter.optimizer}: {peaks.optimizer_bytes / MIB:.1f} MiB"
    budget = "no limit" if plan.budget_gib is None else f"{plan.budget_gib:.2f} GiB may be used"
    yield f"card          {plan.card or 'none'} ({budget})"
    yield f"policy        {plan.taken.placement.described()}"


def _table(plan: Plan, run: Run) -> Iterator[str]:
    yield f"{'stage':14}{'peak GiB':>9}{'time':>12}"
    for stage in plan.stages:
        time = "" if stage.seconds is None or plan.card is None else duration(stage.seconds)
        step = f"   {1000 * plan.taken.step_s * run.steps_at_once:.0f} ms a step"
        noted = step if time and stage.name == "train" else ""
        yield f"{stage.name:14}{stage.peak_gib:9.2f}{time:>12}{noted}".rstrip()
    total = sum(stage.seconds or 0.0 for stage in plan.stages)
    time = "" if plan.card is None else duration(total)
    noted = "   without encoding" if time else ""
    yield f"{'total':14}{max(stage.peak_gib for stage in plan.stages):9.2f}{time:>12}{noted}".rstrip()


def _remarks(plan: Plan, peaks: Peaks) -> Iterator[str]:
    timed = plan.card is not None
    most = largest(plan.stages)
    if most.name != "train":
        yield f"{most.name} needs the most{HINTS[most.name]}"
    if any(stage.peak_gib > stage.least_gib for stage in plan.stages):
        least = plan.stages[-1].least_gib
        yield f"preview can do with {least:.2f} GiB: the transformer leaves the card while pictures are decoded"
    if plan.budget_gib is not None and most.least_gib > plan.budget_gib:
        yield f"this policy does not fit into {plan.budget_gib:.2f} GiB"
    placement = plan.taken.placement
    if peaks.coefficients(placement).num_cases[placement.checkpointing] == 0:
        yield "this way of training was not measured: peak and time rest on an estimate"
    if plan.choice is None:
        yield "no policy fits"
    elif plan.chosen:
        yield from remarks(plan.choice, timed=timed)
    elif plan.choice.taken.step_s < plan.taken.step_s * 0.97 and timed:
        yield f"faster within the budget: {_said(plan.choice.taken, timed=timed)}"
    elif timed:
        yield "no policy is faster within the budget"


HINTS = {
    "encode text": ": a quantised base (memory=int8) has a quantised text encoder",
    "encode pixels": ": lower dataset.resolutions for less",
    "preview": ": lower evaluation.drawing.batch_size for less",
}


def _said(option: Option | None, *, timed: bool) -> str:
    if option is None:
        return "none"
    said = f"{option.placement.described()}: {option.peak_gib:.2f} GiB"
    return f"{said}, {1000 * option.step_s:.0f} ms a forward and backward pass" if timed else said
