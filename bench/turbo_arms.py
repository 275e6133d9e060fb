"""What bench/turbo.py compares, as data: every arm is a line of train.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
TURBO, BASE = "nano_zimage_turbo", "nano_zimage_base"
CONCEPTS = ("varied_linocut", "varied_twemoji", "varied_teapot")
UNTRAINED = ("turbo", "teacher")
"""Arms without a run of their own: the bare checkpoint, and `adapter` drawn with the assistant beside it."""
MATCHING = (
    "objective=distribution_matching",
    "objective.assistant={assistant}",
    "objective.prior.prompts={prompts}",
)
NAIVE = ("objective=flow_matching", "allow_dedistill=true")


@dataclass(frozen=True)
class Budget:
    """How much is spent.

    Attributes:
        first: steps of flow matching, which every arm has.
        second: steps of the second stage, for the arms that have one; they take the first from `adapter`.
        bank: pictures of each bank.
        assistant: steps of the assistant's training, where none is given.
        held_out, no_trigger: pictures drawn of each kind to score a run.
    """

    first: int
    second: int
    bank: int
    assistant: int
    held_out: int
    no_trigger: int


BUDGETS = {
    "tiny": Budget(first=2, second=2, bank=8, assistant=2, held_out=16, no_trigger=16),
    "small": Budget(first=300, second=60, bank=128, assistant=400, held_out=128, no_trigger=64),
    "medium": Budget(first=1000, second=120, bank=256, assistant=500, held_out=128, no_trigger=64),
    "full": Budget(first=3000, second=400, bank=512, assistant=1500, held_out=256, no_trigger=128),
}


@dataclass(frozen=True)
class Arm:
    """One way of training.

    Attributes:
        name: also of its folder.
        group: main, rates, ablation, rank or short: the table that it stands in.
        overrides: of train.py, with {assistant} and {prompts} to fill in.
        model: what it is trained on; it is scored on Turbo in any case.
        teacher: of an arm that is a second stage, the arm whose adapter it goes on from.
        share: of the budget's steps.
    """

    name: str
    group: str
    overrides: tuple[str, ...]
    model: str = TURBO
    teacher: str | None = None
    share: float = 1.0

    def line(
        self, budget: Budget, *, concept: str, seed: int, assistant: Path, runs: Path
    ) -> tuple[str, ...]:
        """Gives the overrides of one run; `runs` is the folder of this concept's."""
        steps = round(self.share * (budget.first if self.teacher is None else budget.second))
        known = {"assistant": assistant, "prompts": runs / "prior.txt"}
        file = runs / f"{self.teacher}_{seed}" / "adapter.safetensors"
        second = () if self.teacher is None else (f"objective.teacher={file}",)
        banks = [f"objective.{part}.bank_size={budget.bank}" for part in ("prior", "coupled")]
        return (
            f"model={self.model}", f"dataset={concept}", f"dataset.root={concept}/many",
            *(text.format(**known) for text in self.overrides), *second,
            *(banks if self.overrides[0] == MATCHING[0] else ()), f"seed={seed}", f"steps={steps}", "evaluation=none",
            "logger=none", "memory=fp32", "memory.compile=false", "memory.checkpointing=none", "safety=off",
            f"run.save_every={steps}", "run.keep_snapshots=1", "schedule=cosine", "run.validate_every=250",
            "watch.every=0", "sentinel.action=none",
        )  # fmt: skip


def arms(*, groups: Sequence[str]) -> list[Arm]:
    """Gives the arms of these groups; those of `main` stand in the other tables as well."""
    lr, rank = _recipe()
    aware = (*MATCHING, "objective.preset=dm_aware")
    whole = (*aware, "objective.coupled.weight=0.3")
    main = [
        Arm("naive", "main", NAIVE),
        Arm("base2turbo", "main", ("objective=flow_matching",), model=BASE),
        Arm("adapter", "main", (*MATCHING, "objective.preset=adapter")),
        Arm("coupled", "main", (*MATCHING, "objective.preset=coupled"), teacher="adapter"),
        Arm("dm_aware", "main", aware, teacher="adapter"),
    ]
    rates = [
        Arm(f"naive_lr_x{factor:g}", "rates", (*NAIVE, f"optimizer.lr={factor * lr:g}"))
        for factor in (0.1, 0.3, 3)
    ]
    ablation = [
        Arm("with_coupled", "ablation", whole, teacher="adapter"),
        Arm(
            "adapter_no_prior",
            "ablation",
            (*MATCHING[:2], "objective.preset=adapter", "objective.prior.weight=0"),
        ),
        Arm("no_prior", "ablation", whole, teacher="adapter_no_prior"),
        Arm("no_matching", "ablation", (*whole, "objective.dm.weight=0"), teacher="adapter"),
        Arm(
            "no_anchor",
            "ablation",
            (*MATCHING[:2], *whole[3:], "objective.anchor.weight=0"),
            teacher="adapter",
        ),
        Arm("cold_start", "ablation", (*whole, "objective.stage2.warm_start=false"), teacher="adapter"),
    ]
    ranks = [
        Arm(f"rank_{other}", "rank", (*MATCHING, "objective.preset=adapter", f"adapter.rank={other}"))
        for other in (4, 8, 16, 32, 64)
        if other != rank
    ]
    short = [
        Arm("adapter_short", "short", (*MATCHING, "objective.preset=adapter"), share=0.6),
        Arm("dm_aware_short", "short", aware, teacher="adapter_short", share=0.5),
    ]
    return [arm for arm in (*main, *rates, *ablation, *ranks, *short) if arm.group in groups]


def shared_rank() -> int:
    """Gives the rank of every arm that does not name one."""
    return _recipe()[1]


def _recipe() -> tuple[float, int]:
    recipe = yaml.safe_load((ROOT / "conf" / "model" / f"{TURBO}.yaml").read_text())["recipe"]
    return float(recipe["lr"]), int(recipe["rank"])
