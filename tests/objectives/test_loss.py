import pytest
import torch

from loralab.objectives import velocity_loss


def test_the_loss_is_the_mean_squared_error_of_each_sample():
    target = torch.zeros(2, 3, 4, 4)
    velocity = torch.stack([torch.full((3, 4, 4), 2.0), torch.full((3, 4, 4), 0.5)])

    loss = velocity_loss(velocity, target)

    assert loss.tolist() == [4.0, 0.25]


def test_only_what_the_mask_shows_counts_and_its_area_does_not():
    target = torch.zeros(2, 1, 2, 2)
    velocity = torch.tensor([[[[1.0, 9.0], [9.0, 9.0]]], [[[1.0, 1.0], [9.0, 9.0]]]])
    mask = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]], [[[1.0, 1.0], [0.0, 0.0]]]])

    loss = velocity_loss(velocity, target, mask=mask)

    assert loss.tolist() == [1.0, 1.0]


def test_a_mask_that_hides_everything_gives_no_loss_and_no_nan():
    loss = velocity_loss(torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), mask=torch.zeros(1, 1, 2, 2))

    assert loss.item() == pytest.approx(0.0)


def test_the_loss_of_a_bf16_prediction_is_taken_in_fp32():
    velocity = torch.ones(1, 1, 2, 2, dtype=torch.bfloat16)

    assert velocity_loss(velocity, torch.zeros(1, 1, 2, 2)).dtype == torch.float32
