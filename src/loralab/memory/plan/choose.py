"""Which policy is the fastest that fits: all are predicted, and the choice is by rules that can be said.

1. Of bf16 and int8 that fit the budget, the fastest; what is slower by 3 % or less counts as fast.
2. Among those the most exact (bf16, int8), then the one that moves least to main memory, then the fastest.
3. nf4 only where nothing else fits: it is the least exact.
4. fp8 must be asked for: it saves a few percent of int8's time and turns the gradient two and a half times as far.
What the user has set stays as it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from loralab.errors import UserError
from loralab.linears import FORMATS
from loralab.memory.checkpointing import MODES
from loralab.memory.placement import Placement
from loralab.memory.plan.activations import Peaks
from loralab.memory.plan.cards import Card
from loralab.memory.plan.roofline import Roofline
from loralab.memory.plan.stages import Run, largest, stages

AS_FAST = 0.03
EXACTNESS = (None, "int8", "fp8", "nf4")
UNASKED = (None, "int8")
"""Formats that are chosen where others would do as well."""
COMPILING_S = 60.0
"""About what compiling takes. Eager steps take up to twice as long (bench/packed.py's trials alone beside their
reference), so that a run that compiled is shorter than this gains nothing by it."""
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
CHECKPOINTED = (1.0, 0.75, 0.5, 0.25)


@dataclass(frozen=True)
class Fixed:
    """What is not for the planner to choose; None leaves it open.

    Attributes:
        precision: fp32, bf16, int8, fp8 or nf4.
        low_bit: products in the format itself; None where the card can.
        checkpointing: full, selective or none.
        checkpointed_blocks: share of the blocks that it is for.
        compile: blocks are compiled.
        attention: as in conf/memory.
        offload_blocks, offload_activations: as there.
    """

    precision: str | None = None
    low_bit: bool | None = None
    checkpointing: str | None = None
    checkpointed_blocks: float | None = None
    compile: bool = True
    attention: str = "auto"
    offload_blocks: float | None = None
    offload_activations: bool | None = None


@dataclass(frozen=True)
class Option:
    """A placement with what is predicted of it.

    Attributes:
        placement: how the base is held.
        peak_gib: what the run cannot do without.
        step_s: seconds of a forward and backward pass.
        stage: which one has the peak.
    """

    placement: Placement
    peak_gib: float
    step_s: float
    stage: str = "train"


@dataclass(frozen=True)
class Choice:
    """The option that was taken, and its neighbours: the fastest with less memory, the smallest that is faster."""

    taken: Option
    cheaper: Option | None
    dearer: Option | None


def candidates(fixed: Fixed, card: Card) -> list[Placement]:
    """Lists the placements that a card can run and that agree with what is fixed."""
    precisions = [fixed.precision] if fixed.precision else ["bf16", *FORMATS]
    if fixed.precision is None and card.fp8 is None:
        precisions.remove("fp8")
    shares = SHARES if fixed.offload_blocks is None else (fixed.offload_blocks,)
    outside = (False, True) if fixed.offload_activations is None else (fixed.offload_activations,)
    return [
        placed(fixed, card, precision=precision).without(
            checkpointing=mode,
            checkpointed_blocks=some,
            offload_blocks=share,
            offload_activations=moved,
        )
        for precision, (mode, some), share, moved in itertools.product(
            precisions, _repetitions(fixed), shares, outside
        )
        if not (moved and (mode == "none" or some < 1))
    ]


def _repetitions(fixed: Fixed) -> list[tuple[str, float]]:
    """Lists kinds of checkpointing and the share of the blocks that it is for: parts are open for selective alone."""
    modes = [fixed.checkpointing] if fixed.checkpointing else list(MODES)
    if fixed.checkpointed_blocks is not None:
        return [(mode, 1.0 if mode == "none" else fixed.checkpointed_blocks) for mode in modes]
    return [(mode, some) for mode in modes for some in (CHECKPOINTED if mode == "selective" else (1.0,))]


def placed(fixed: Fixed, card: Card, *, precision: str) -> Placement:
    """Gives a precision's placement on a card, whatever is open as a GPU has it by default."""
    kind = precision if precision in FORMATS else None
    able = {"int8": card.int8 is not None, "fp8": card.fp8 is not None}.get(precision, False)
    return Placement(
        device=torch.device("cuda"),
        dtype=torch.float32 if precision == "fp32" else torch.bfloat16,
        kind=kind,
        low_bit=able if fixed.low_bit is None else fixed.low_bit and kind in ("int8", "fp8"),
        checkpointing=fixed.checkpointing or "selective",
        checkpointed_blocks=1.0 if fixed.checkpointed_blocks is None else fixed.checkpointed_blocks,
        compile=fixed.compile,
        attention=fixed.attention,
        offload_blocks=fixed.offload_blocks or 0.0,
        offload_activations=bool(fixed.offload_activations),
    )


def options(peaks: Peaks, run: Run, placements: Iterable[Placement], *, card: Card) -> list[Option]:
    """Predicts placements: the peak of the whole run and the time of a step."""
    roofline = Roofline(peaks, card)
    found = []
    for placement in placements:
        most = largest(stages(peaks, placement, run, roofline=None))
        found.append(Option(placement, most.least_gib, roofline.step_s(placement), most.name))
    return found


def choose(found: Sequence[Option], *, budget_gib: float) -> Choice:
    """Gives the fastest option within a budget, by the rules above.

    Raises:
        UserError: naming what would be needed at least.
    """
    fitting = [option for option in found if option.peak_gib <= budget_gib]
    if not fitting:
        least = min(found, key=lambda option: option.peak_gib)
        raise UserError(
            f"memory.budget_gib={budget_gib:.2f} is not enough: the least that these settings need is"
            f" {least.peak_gib:.2f} GiB, for {least.stage} ({least.placement.described()}). {WAYS_OUT[least.stage]}."
        )
    exact = [option for option in fitting if option.placement.kind in UNASKED] or fitting
    fastest = min(option.step_s for option in exact)
    as_fast = [option for option in exact if option.step_s <= fastest * (1 + AS_FAST)]
    taken = min(as_fast, key=_simplest)
    return Choice(taken, cheaper(taken, found), dearer(taken, found))


def pays_to_compile(option: Option, run: Run) -> bool:
    """Says whether a compiled run is so long that compiling is worth its time."""
    return option.step_s * run.steps_at_once * run.num_steps >= COMPILING_S


def cheaper(taken: Option, found: Sequence[Option]) -> Option | None:
    """Gives the fastest option that needs clearly less memory, in bf16 or int8 if there is one."""
    less = [option for option in found if option.peak_gib < taken.peak_gib * (1 - AS_FAST)]
    less = [option for option in less if option.placement.kind in UNASKED] or less
    return min(less, key=lambda option: (round(option.step_s, 3), _simplest(option)), default=None)


def dearer(taken: Option, found: Sequence[Option]) -> Option | None:
    """Gives the smallest option that is clearly faster, in bf16 or int8 if there is one."""
    faster = [option for option in found if option.step_s < taken.step_s * (1 - AS_FAST)]
    faster = [option for option in faster if option.placement.kind in UNASKED] or faster
    return min(faster, key=lambda option: option.peak_gib, default=None)


WAYS_OUT = {
    "encode text": "Choose a smaller model",
    "encode pixels": "Lower dataset.resolutions",
    "train": "Lower dataset.resolutions, micro_batch_size or adapter.rank, or leave memory.* to the planner",
    "preview": "Lower evaluation.drawing.height and width or batch_size, or set evaluation=none",
}


def _simplest(option: Option) -> tuple[int, float, bool, float]:
    placement = option.placement
    exactness = EXACTNESS.index(placement.kind)
    return exactness, placement.offload_blocks, placement.offload_activations, option.step_s
