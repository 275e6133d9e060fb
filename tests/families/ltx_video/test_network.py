"""The network's answers against the vendor's forward pass written out, in every role that a modality can have."""

import dataclasses

import pytest
import torch
from tests.families.ltx_video import requests
from tests.families.ltx_video.requests import audio, first_frame, given, half_reference, oracle_of, video
from tests.tiny_ltx import ltx_transformer

from loralab.families.ltx_video.network import predict

TOLERANCE = {"atol": 1e-4, "rtol": 0}
"""The network's rotary angles are fp32, the oracle's float64; answers are of order 1."""
CASES = {
    "one sigma for both": lambda: (video(), audio(sigma=requests.SIGMA)),
    "sigmas of their own": lambda: (video(), audio()),
    "first frame": lambda: (video(conditioned=first_frame()), audio()),
    "reference": lambda: (video(reference=half_reference()), audio()),
    "first frame and reference": lambda: (
        video(conditioned=first_frame(), reference=half_reference()),
        audio(),
    ),
    "frozen audio": lambda: (video(conditioned=first_frame()), audio(sigma=None)),
    "frozen video": lambda: (video(sigma=None), audio()),
    "frozen video with a reference": lambda: (video(sigma=None, reference=half_reference()), audio()),
}


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_velocities_are_those_of_the_vendors_equations(case):
    network = ltx_transformer()
    seen, heard = CASES[case]()

    answer = predict(network, video=seen, audio=heard)
    expected = oracle_of(network)(given(seen), given(heard))

    for ours, theirs, modality in zip(answer, expected, (seen, heard), strict=True):
        if modality.role == "frozen":
            assert ours is None
            continue
        assert ours.dtype == torch.float32 and ours.shape == modality.tokens.shape
        target = theirs[:, -modality.tokens.shape[1] :]
        torch.testing.assert_close(ours.double(), target, **TOLERANCE)


@torch.no_grad()
def test_where_nothing_is_given_and_sigmas_are_one_the_answer_is_a_plain_call_of_diffusers():
    network = ltx_transformer()
    seen, heard = video(), audio(sigma=requests.SIGMA)

    answer = predict(network, video=seen, audio=heard)
    plain = network(
        hidden_states=seen.tokens, audio_hidden_states=heard.tokens, encoder_hidden_states=seen.prompt_embeds,
        audio_encoder_hidden_states=heard.prompt_embeds, timestep=1000 * requests.SIGMA,
        sigma=1000 * requests.SIGMA, video_coords=seen.bounds, audio_coords=heard.bounds,
        use_cross_timestep=True, return_dict=False,
    )  # fmt: skip

    assert torch.equal(answer.video, plain[0]) and torch.equal(answer.audio, plain[1])


@torch.no_grad()
def test_a_timestep_for_each_sample_is_the_same_as_one_for_each_token():
    network = ltx_transformer()
    seen, heard = video(), audio()
    nothing = torch.zeros(2, requests.GRID.num_tokens, dtype=torch.bool)

    once = predict(network, video=seen, audio=heard)
    each = predict(network, video=dataclasses.replace(seen, conditioned=nothing), audio=heard)

    torch.testing.assert_close(once.video, each.video, atol=1e-5, rtol=0)
    torch.testing.assert_close(once.audio, each.audio, atol=1e-5, rtol=0)


def test_video_alone_does_not_depend_on_anything_of_the_audio_branch():
    network, changed = ltx_transformer(), ltx_transformer()
    with torch.no_grad():
        for name, parameter in changed.named_parameters():
            if "audio" in name or "a2v" in name or "v2a" in name or "video_to" in name:
                parameter.normal_(0, 3)
    seen = video(conditioned=first_frame(), reference=half_reference())

    answer, other = predict(network, video=seen), predict(changed, video=seen)
    beside = predict(network, video=seen, audio=audio())

    assert answer.audio is None
    assert torch.equal(answer.video, other.video)
    assert (answer.video - beside.video).abs().max() > 0.1


def test_audio_alone_does_not_depend_on_anything_of_the_video_branch():
    network, changed = ltx_transformer(), ltx_transformer()
    with torch.no_grad():
        for name, parameter in changed.named_parameters():
            if "audio" not in name.removeprefix("av_cross_attn_"):
                parameter.normal_(0, 3)
    heard = audio()

    answer, other = predict(network, audio=heard), predict(changed, audio=heard)

    assert answer.video is None
    assert torch.equal(answer.audio, other.audio)


@torch.no_grad()
def test_a_clip_does_not_depend_on_what_else_is_in_the_batch():
    network = ltx_transformer()
    seen, heard = video(conditioned=first_frame(), reference=half_reference()), audio()

    together = predict(network, video=seen, audio=heard)
    second = predict(network, video=cut(seen), audio=cut(heard))

    torch.testing.assert_close(together.video[1:], second.video, atol=1e-5, rtol=0)
    torch.testing.assert_close(together.audio[1:], second.audio, atol=1e-5, rtol=0)


def cut(modality):
    """The second clip of a request alone."""
    reference = modality.reference and dataclasses.replace(
        modality.reference, tokens=modality.reference.tokens[1:], bounds=modality.reference.bounds[1:]
    )
    parts = {
        field.name: getattr(modality, field.name)
        for field in dataclasses.fields(modality)
        if field.name != "reference"
    }
    return type(modality)(
        reference=reference,
        **{name: None if part is None else part[1:] for name, part in parts.items()},
    )


def test_the_clock_reaches_the_sinusoids_unrounded_in_bf16():
    network = ltx_transformer().to(torch.bfloat16)
    told = []
    network.time_embed.emb.time_proj.register_forward_pre_hook(lambda _, args: told.append(args[0]))
    sigma = torch.tensor([0.7234, 0.0017])

    with torch.autocast("cpu", torch.bfloat16):
        answer = predict(network, video=video(sigma=sigma), audio=audio())

    assert told[0].tolist() == pytest.approx([723.4, 1.7], abs=1e-4)
    assert answer.video.dtype == answer.audio.dtype == torch.float32


def test_a_request_without_anything_to_predict_is_refused():
    with pytest.raises(ValueError, match="must be generated"):
        predict(ltx_transformer(num_layers=1), video=video(sigma=None))
    with pytest.raises(ValueError, match="clean everywhere"):
        video(sigma=None, conditioned=first_frame())


@pytest.mark.parametrize("has_audio", [False, True])
def test_every_block_is_differentiated_alike_so_that_one_compiled_graph_serves_all(has_audio: bool):
    network, told = ltx_transformer(), []
    for block in network.transformer_blocks:
        block.scale_shift_table.requires_grad_()  # as an adapter in each of them
        block.audio_scale_shift_table.requires_grad_(has_audio)
        block.register_forward_pre_hook(
            lambda _, args, given: told.append(
                {name: given[name].requires_grad for name in ("hidden_states", "audio_hidden_states")}
            ),
            with_kwargs=True,
        )

    predict(network, video=video(), audio=audio() if has_audio else None)

    assert told == [{"hidden_states": True, "audio_hidden_states": has_audio}] * 2
