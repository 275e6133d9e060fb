"""Our attention against diffusers' own, in every request."""

import pytest
import torch
from tests.families.ltx_video.requests import audio, first_frame, half_reference, video
from tests.tiny_ltx import ltx_transformer

from loralab.families.ltx_video.attention import use_processors
from loralab.families.ltx_video.network import predict


@pytest.mark.parametrize("changes", [{}, {"perturbed_blocks": [1]}, {"isolated": True}])
@torch.no_grad()
def test_our_processors_give_what_those_of_diffusers_give(changes):
    seen, heard = video(conditioned=first_frame(), reference=half_reference()), audio()

    theirs = predict(ltx_transformer(), video=seen, audio=heard, **changes)
    ours = predict(use_processors(ltx_transformer()), video=seen, audio=heard, **changes)

    torch.testing.assert_close(ours.video, theirs.video, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.audio, theirs.audio, atol=1e-5, rtol=0)


@torch.no_grad()
def test_guidance_by_perturbed_or_isolated_blocks_changes_the_answer():
    network, seen, heard = ltx_transformer(), video(), audio()

    plain = predict(network, video=seen, audio=heard)

    for changes in ({"perturbed_blocks": [0]}, {"isolated": True}):
        assert (predict(network, video=seen, audio=heard, **changes).video - plain.video).abs().max() > 0.01
