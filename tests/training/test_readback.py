import time

import pytest
import torch

from loralab.training.readback import Readback


def test_the_number_is_the_one_from_when_it_was_asked_for():
    number = torch.tensor(3.5, requires_grad=True)

    reading = Readback(number)
    with torch.no_grad():
        number.fill_(7.0)

    assert reading.value() == 3.5
    assert reading.value() == 3.5


@pytest.mark.parametrize("number", [float("inf"), -0.25, 1e-30])
def test_the_number_is_exact(number: float):
    assert Readback(torch.tensor(number)).value() == torch.tensor(number).item()


@pytest.mark.gpu
def test_a_gpu_that_is_busy_with_later_work_is_not_waited_for():
    number = torch.ones((), device="cuda") * 2
    Readback(number).value()
    torch.cuda.synchronize()

    reading = Readback(number * 3)
    torch.cuda._sleep(2_000_000_000)
    started = time.perf_counter()
    value = reading.value()
    waited = time.perf_counter() - started
    is_busy = not torch.cuda.current_stream().query()
    torch.cuda.synchronize()

    assert value == 6
    assert waited < 0.2
    assert is_busy
