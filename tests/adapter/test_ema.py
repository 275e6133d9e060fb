import pytest
import torch
from tests.adapter.twins import KLEIN, randomise

from loralab.adapter import Ema, adapter_state, with_state
from loralab.errors import UserError


def test_the_average_is_the_mean_under_weights_that_fall_by_the_decay():
    transformer, ema = KLEIN.trained(), Ema(0.7)

    states = []
    for step in range(4):
        randomise(transformer, seed=step)
        ema.update(transformer)
        states.append(adapter_state(transformer))

    weights = torch.tensor([0.7**3, 0.7**2, 0.7, 1.0])
    weights /= weights.sum()
    for key, average in ema.average.items():
        expected = sum(weight * state[key] for weight, state in zip(weights, states, strict=True))
        torch.testing.assert_close(average, expected)


def test_a_resumed_average_continues_bit_for_bit():
    transformer, whole = KLEIN.trained(), Ema(0.9)
    whole.update(transformer)
    resumed = Ema(0.9)
    resumed.load_state_dict(whole.state_dict())

    randomise(transformer, seed=2)
    for ema in (whole, resumed):
        ema.update(transformer)

    assert all(torch.equal(average, resumed.average[key]) for key, average in whole.average.items())


def test_an_average_that_is_loaded_between_two_steps_is_the_one_that_goes_on():
    transformer, ema, other = KLEIN.trained(), Ema(0.9), Ema(0.9)
    ema.update(transformer)
    saved = ema.state_dict()
    randomise(transformer, seed=2)
    other.update(transformer)

    other.load_state_dict(saved)
    for running in (ema, other):
        running.update(transformer)

    assert other.num_updates == 2
    assert all(torch.equal(average, other.average[key]) for key, average in ema.average.items())


def test_a_saved_average_does_not_move_with_the_running_one():
    transformer, ema = KLEIN.trained(), Ema(0.5)
    ema.update(transformer)
    saved = ema.state_dict()

    randomise(transformer, seed=2)
    ema.update(transformer)

    assert all(not torch.equal(tensor, ema.average[key]) for key, tensor in saved["average"].items())


def test_the_average_can_be_lent_to_the_transformer():
    transformer, ema = KLEIN.trained(), Ema(0.5)
    ema.update(transformer)
    first = KLEIN.velocity(transformer)
    randomise(transformer, seed=2)

    with with_state(transformer, ema.average):
        lent = KLEIN.velocity(transformer)

    assert torch.equal(lent, first)


@pytest.mark.parametrize("decay", [0.0, 1.0, 1.5])
def test_a_decay_that_keeps_nothing_or_all_is_refused(decay: float):
    with pytest.raises(UserError, match=f"EMA decay {decay}"):
        Ema(decay)
