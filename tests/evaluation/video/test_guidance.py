"""Guidance: what each term leads away from, which calls it needs, and the deviation afterwards."""

import torch

from loralab.denoiser import ModalityGuidance
from loralab.evaluation.video.guidance import guided, passes


def estimates():
    return {name: torch.randn(2, 3, 4) for name in ("conditional", "negative", "perturbed", "isolated")}


def test_each_term_leads_away_from_its_own_estimate():
    found = estimates()
    c, u, p, i = found.values()

    led = guided(found, ModalityGuidance(scale=3.0, perturbed=1.5, modality=2.0))

    assert torch.allclose(led, c + 2 * (c - u) + 1.5 * (c - p) + (c - i), atol=1e-6)


def test_a_full_rescale_gives_each_clip_the_deviation_of_its_unguided_estimate():
    found, beside = estimates(), 3 * torch.randn(2, 5)

    led = guided(found, ModalityGuidance(scale=5.0, rescale=1.0))
    with_reference = guided(found, ModalityGuidance(scale=5.0, rescale=1.0), beside=beside)

    assert torch.allclose(led.flatten(1).std(1), found["conditional"].flatten(1).std(1), atol=1e-6)
    assert not torch.allclose(led, with_reference, atol=0.05)


def test_only_calls_that_count_are_made():
    plain, led = ModalityGuidance(), ModalityGuidance(scale=3.0, perturbed=1.0, modality=3.0)

    assert passes([plain, plain], has_both=True) == ["conditional"]
    assert passes([plain, ModalityGuidance(scale=7.0)], has_both=True) == ["conditional", "negative"]
    assert passes([led], has_both=False) == ["conditional", "negative", "perturbed"]
    assert passes([led], has_both=True) == ["conditional", "negative", "perturbed", "isolated"]
