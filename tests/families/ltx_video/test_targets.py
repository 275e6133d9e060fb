"""Targets on the true shape, without weights, and layers that would learn nothing."""

import functools
import re

import pytest
import torch
from tests.families.ltx_video.requests import audio, video
from tests.tiny_ltx import ltx_transformer, real_transformer

from loralab.errors import UserError
from loralab.families.ltx_video.network import predict
from loralab.families.ltx_video.targets import TARGETS, idle_layers, require_no_idle_layers

real = functools.cache(real_transformer)


def linears(network):
    return {name: layer for name, layer in network.named_modules() if isinstance(layer, torch.nn.Linear)}


@pytest.mark.parametrize(
    ("targets", "num_layers", "million_parameters"),
    [
        ("attention", 1152, 213.9),
        ("attention_mlp", 1344, 308.3),
        ("all", 1632, 336.9),
        ("video_attention", 384, 100.7),
        ("video_attention_mlp", 480, 163.6),
        ("audio_attention_mlp", 480, 81.8),
        ("audio_from_video", 672, 113.2),
        ("cross_attention", 384, 62.9),
    ],
)
def test_targets_on_the_real_architecture(targets, num_layers, million_parameters):
    layers = [layer for name, layer in linears(real()).items() if re.fullmatch(TARGETS[targets], name)]
    modules = [name for name, _ in real().named_modules() if re.fullmatch(TARGETS[targets], name)]

    assert len(layers) == len(modules) == num_layers
    at_rank_32 = 32 * sum(layer.in_features + layer.out_features for layer in layers)
    assert at_rank_32 / 1e6 == pytest.approx(million_parameters, abs=0.06)


def test_the_real_architecture_is_that_of_the_published_checkpoint():
    assert sum(parameter.numel() for parameter in real().parameters()) == 18_988_838_144


@pytest.mark.parametrize(("has_video", "has_audio"), [(True, True), (True, False), (False, True)])
def test_idle_layers_are_those_without_a_gradient(has_video, has_audio):
    network = ltx_transformer().train()
    layers = linears(network)
    for layer in layers.values():
        layer.weight.requires_grad_()

    answer = predict(network, video=video() if has_video else None, audio=audio() if has_audio else None)
    sum(part.square().sum() for part in answer if part is not None).backward()

    silent = {
        name for name, layer in layers.items() if layer.weight.grad is None or not layer.weight.grad.any()
    }
    assert set(idle_layers(layers, has_video=has_video, has_audio=has_audio)) == silent


def test_targets_with_layers_that_would_learn_nothing_are_refused():
    names = [name for name in linears(real()) if re.fullmatch(TARGETS["attention"], name)]
    video_only = [name for name in names if re.fullmatch(TARGETS["video_attention"], name)]

    require_no_idle_layers(video_only, "video_attention", has_video=True, has_audio=False)
    require_no_idle_layers(names, "attention", has_video=True, has_audio=True)
    with pytest.raises(
        UserError, match=r"adapt 768 of 1152 layers .* audio is absent, .*=video_attention_mlp"
    ):
        require_no_idle_layers(names, "attention", has_video=True, has_audio=False)
    with pytest.raises(
        UserError, match=r"since video is absent, .*targets=audio_attention_mlp, or give video"
    ):
        require_no_idle_layers(names, "attention", has_video=False, has_audio=True)
