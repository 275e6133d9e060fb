"""What the planner predicts moves the right way, and what it chooses follows its rules."""

from __future__ import annotations

import pytest
import torch
from tests.memory.plan.twins import RUN, full_size, peaks_of

from loralab.errors import UserError
from loralab.memory import Placement
from loralab.memory.plan import Adapter, Fixed, Option, Peaks, Subject, Tokens, cards, choose, stages
from loralab.memory.plan.coefficients import measured, way_of
from loralab.memory.plan.roofline import Roofline

GIB = 2**30
CUDA = torch.device("cuda")
INT8 = Placement(CUDA, torch.bfloat16, "int8", low_bit=True, checkpointing="selective", compile=True)
H100 = cards.named("NVIDIA H100 80GB HBM3")
EVERY = [8.0, 10.0, 12.0, 16.0, 24.0, 40.0, 76.0]


def options(model: str, *, card: cards.Card = H100, fixed: Fixed | None = None) -> list[Option]:
    return choose.options(peaks_of(model), RUN, choose.candidates(fixed or Fixed(), card), card=card)


def test_every_way_of_training_has_coefficients() -> None:
    shipped = measured()

    for placement in choose.candidates(Fixed(low_bit=False), H100) + choose.candidates(Fixed(), H100):
        for family in ("flux2_klein", "z_image"):
            assert f"{family}/{way_of(placement)}" in shipped.ways
    assert shipped.of("a_new_family", INT8).kept == max(
        shipped.of(family, INT8).kept for family in ("flux2_klein", "z_image")
    )


@pytest.mark.parametrize("model", ["flux2_klein9b", "zimage_base"])
def test_memory_falls_with_each_thing_that_saves_memory(model: str) -> None:
    peaks = peaks_of(model)
    order = [
        INT8.without(checkpointing="none"),
        INT8.without(checkpointed_blocks=0.25),
        INT8.without(checkpointed_blocks=0.75),
        INT8,
        INT8.without(checkpointing="full"),
        INT8.without(checkpointing="full", offload_activations=True),
        INT8.without(checkpointing="full", offload_activations=True, offload_blocks=0.5),
        INT8.without(checkpointing="full", offload_activations=True, offload_blocks=1.0),
    ]

    found = [peaks.step(placement) for placement in order]

    assert found == sorted(found, reverse=True)
    assert len(set(found)) == len(found)


def test_time_falls_with_less_repeated_and_grows_with_what_is_copied() -> None:
    roofline = Roofline(peaks_of("flux2_klein9b"), H100)

    full, selective, none = (
        roofline.step_s(INT8.without(checkpointing=mode)) for mode in ("full", "selective", "none")
    )
    half = roofline.step_s(INT8.without(checkpointed_blocks=0.5))
    swapped = roofline.step_s(INT8.without(offload_blocks=1.0))

    assert none < half < selective < full
    assert swapped > selective
    assert roofline.step_s(Placement(CUDA, torch.bfloat16, checkpointing="full", compile=True)) > full


def test_twice_the_pictures_are_about_twice_the_activations() -> None:
    one, two = (peaks_of("zimage_base", batch=batch) for batch in (1, 2))

    assert two.saved(INT8) == 2 * one.saved(INT8)
    assert two.weights(INT8) == one.weights(INT8)


def test_blocks_before_the_first_adapter_save_nothing() -> None:
    peaks = peaks_of("zimage_base")

    assert peaks.learning == range(4, 34)  # two refiners each of pictures and prompts come before
    assert [peaks.lengths[index] for index in (0, 2, 4)] == [4096, 128, 4224]


def test_gradients_and_what_is_saved_are_there_together_only_where_gradients_are_summed() -> None:
    blueprint, pattern = full_size("zimage_base")
    subjects = [
        Subject(blueprint, Adapter(64, pattern), Tokens(4096, 128), accumulated=accumulated)
        for accumulated in (False, True)
    ]

    once, summed = (Peaks(subject, measured()).step(INT8) for subject in subjects)

    assert summed - once == 4 * Peaks(subjects[0], measured()).num_parameters


def test_more_memory_never_makes_a_choice_slower() -> None:
    found = options("flux2_klein9b")

    chosen = [choose.choose(found, budget_gib=budget).taken for budget in EVERY]
    times = [option.step_s for option in chosen]

    assert all(option.peak_gib <= budget for option, budget in zip(chosen, EVERY, strict=True))
    assert all(later <= earlier * (1 + choose.AS_FAST) for earlier, later in zip(times, times[1:]))  # noqa: B905, RUF007
    assert times[-1] < times[0]


def test_neighbours_stand_on_either_side() -> None:
    found = options("flux2_klein9b")

    choice = choose.choose(found, budget_gib=16)

    assert choice.cheaper is not None and choice.dearer is not None
    assert choice.cheaper.peak_gib < choice.taken.peak_gib
    assert choice.cheaper.step_s >= choice.taken.step_s * (1 - choose.AS_FAST)
    assert choice.dearer.step_s < choice.taken.step_s
    assert choice.dearer.peak_gib > 16


def test_the_more_exact_of_two_that_are_as_fast_is_taken() -> None:
    placements = [INT8.without(kind="fp8"), INT8, INT8.without(kind="nf4", low_bit=False)]
    found = [
        Option(placement, 10.0, seconds)
        for placement, seconds in zip(placements, (0.300, 0.305, 0.1), strict=True)
    ]
    dense = Option(INT8.without(kind=None, low_bit=False), 11.0, 0.306)

    assert choose.choose(found, budget_gib=12).taken.placement.kind == "int8"
    assert choose.choose([*found, dense], budget_gib=12).taken.placement.kind is None


def test_fp8_is_taken_only_where_it_was_asked_for() -> None:
    placements = [INT8.without(kind="fp8"), INT8]
    found = [Option(placement, 10.0, time) for placement, time in zip(placements, (0.2, 0.3), strict=True)]

    assert choose.choose(found, budget_gib=12).taken.placement.kind == "int8"
    assert choose.choose(found[:1], budget_gib=12).taken.placement.kind == "fp8"


def test_nf4_is_taken_only_where_nothing_else_fits() -> None:
    found = options("flux2_klein9b", fixed=Fixed(offload_blocks=0.0))
    least = min(option.peak_gib for option in found if option.placement.kind != "nf4")

    below, above = (choose.choose(found, budget_gib=least + extra).taken for extra in (-0.01, 0.01))

    assert below.placement.kind == "nf4"
    assert above.placement.kind != "nf4"


def test_an_impossible_budget_is_told_the_least_that_is_needed() -> None:
    found = options("flux2_klein9b")
    least = min(option.peak_gib for option in found)

    words = r"memory.budget_gib=1.00 is not enough: the least that these"
    with pytest.raises(UserError, match=words) as raised:
        choose.choose(found, budget_gib=1)

    assert f"{least:.2f} GiB, for " in str(raised.value)


def test_what_is_fixed_stays_and_cards_without_fp8_are_not_offered_it() -> None:
    fixed = Fixed(checkpointing="full", offload_blocks=0.5)

    placements = choose.candidates(fixed, cards.named("NVIDIA GeForce RTX 3090"))

    assert {placement.checkpointing for placement in placements} == {"full"}
    assert {placement.offload_blocks for placement in placements} == {0.5}
    assert {placement.kind for placement in placements} == {None, "int8", "nf4"}


def test_stages_of_a_run_are_predicted_in_order() -> None:
    peaks = peaks_of("flux2_klein9b")

    found = stages.stages(peaks, INT8, RUN, roofline=Roofline(peaks, H100))

    assert [stage.name for stage in found] == ["encode text", "encode pixels", "train", "preview"]
    assert all(0 < stage.least_gib <= stage.peak_gib for stage in found)
    assert found[2].peak_gib == pytest.approx(peaks.step(INT8) / GIB)
    assert found[2].seconds == pytest.approx(100 * Roofline(peaks, H100).step_s(INT8))


@pytest.mark.parametrize("name", ["rtx 4090", "NVIDIA GeForce RTX 4090", "RTX 4090"])
def test_cards_are_found_by_the_names_that_people_and_drivers_give(name: str) -> None:
    assert cards.named(name).name == "RTX 4090"


def test_an_unknown_card_is_told_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"plan.card=RTX 1 is not known; known are .*RTX 4090"):
        cards.named("RTX 1")
    with pytest.raises(UserError):
        cards.named("NVIDIA GeForce RTX 4090 Laptop GPU")


def test_every_card_has_sources_and_rates_that_can_be() -> None:
    assert len(cards.known()) > 10
    for card in cards.known().values():
        assert card.source.startswith("NVIDIA")
        assert card.int8 is not None and card.int8 > card.bf16
        assert card.fp8 is None or card.bf16 < card.fp8 <= card.int8
