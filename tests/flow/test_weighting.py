import pytest
import torch

from loralab.flow.weighting import BellWeighting, ConstantWeighting, CosmapWeighting


@pytest.mark.parametrize("weighting", [ConstantWeighting(), BellWeighting(), CosmapWeighting()], ids=repr)
def test_weights_are_positive_with_mean_one(weighting):
    sigma = (torch.arange(10_000) + 0.5) / 10_000

    weight = weighting.weight(sigma)

    assert (weight > 0).all()
    assert weight.mean().item() == pytest.approx(1.0, abs=1e-4)


def test_the_bell_counts_the_middle_most():
    weight = BellWeighting().weight(torch.tensor([0.0, 0.5, 1.0]))

    assert weight[1] > weight[0]
    assert weight[0] == weight[2]
