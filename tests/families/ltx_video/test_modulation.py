"""What diffusers' transformer does without the exchange, and that its own pipelines are corrected by it as well."""

import pytest
import torch
from tests.families.ltx_video.requests import AUDIO_SIGMA, SIGMA, audio, first_frame, given, oracle_of, video
from tests.tiny_ltx import ltx_transformer

from loralab.families.ltx_video.modulation import own_timesteps
from loralab.families.ltx_video.network import predict


def called(network, seen, heard, *, cross=True):
    """Calls diffusers' transformer as its image-to-video pipeline does, a timestep for each video token."""
    timestep = SIGMA[:, None].repeat(1, seen.tokens.shape[1])
    timestep[seen.conditioned] = 0
    with torch.no_grad():
        return network(
            hidden_states=seen.tokens, audio_hidden_states=heard.tokens, encoder_hidden_states=seen.prompt_embeds,
            audio_encoder_hidden_states=heard.prompt_embeds, timestep=1000 * timestep,
            audio_timestep=1000 * AUDIO_SIGMA, sigma=1000 * SIGMA, audio_sigma=1000 * AUDIO_SIGMA,
            video_coords=seen.bounds, audio_coords=heard.bounds, use_cross_timestep=cross, return_dict=False,
        )  # fmt: skip


def test_with_own_timesteps_diffusers_answers_as_the_vendor_and_without_it_does_not():
    network = ltx_transformer()
    seen, heard = video(conditioned=first_frame()), audio()
    expected = oracle_of(network)(given(seen), given(heard))

    with own_timesteps(network):
        corrected = called(network, seen, heard)
    uncorrected = called(network, seen, heard), called(network, seen, heard, cross=False)

    for modality in (0, 1):
        assert (corrected[modality] - expected[modality]).abs().max() < 1e-4
        for wrong in uncorrected:
            assert (wrong[modality] - expected[modality]).abs().max() > 0.1


@pytest.mark.parametrize("is_torn", [False, True])
def test_the_network_is_as_before_after_the_block(is_torn):
    network = ltx_transformer()
    seen, heard = video(conditioned=first_frame()), audio()
    before = called(network, seen, heard)

    try:
        with own_timesteps(network):
            if is_torn:
                raise RuntimeError("torn")
    except RuntimeError:
        pass
    after = called(network, seen, heard)

    assert torch.equal(before[0], after[0]) and torch.equal(before[1], after[1])


def test_gradients_through_checkpointed_blocks_are_those_without_checkpointing():
    gradients = []
    for checkpointed in (False, True):
        network = ltx_transformer().train()
        if checkpointed:
            network.enable_gradient_checkpointing()
        weight = network.transformer_blocks[0].audio_to_video_attn.to_q.weight.requires_grad_()
        torch.manual_seed(0)
        seen, heard = video(conditioned=first_frame()), audio()
        answer = predict(network, video=seen, audio=heard)
        (answer.video.square().sum() + answer.audio.square().sum()).backward()
        gradients.append(weight.grad)

    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(gradients[0], gradients[1])
