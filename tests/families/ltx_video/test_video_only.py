"""The network without its audio branch gives what the whole one gives beside absent sound, bit for bit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.evaluation.video.conftest import save_adapter, tiny_ltx_video
from tests.families.ltx_video.requests import audio, first_frame, half_reference, video
from tests.families.ltx_video.twins import adapted, gradients
from tests.tiny_ltx import ltx_transformer, real_transformer
from torch import Tensor

from loralab.adapter import attached
from loralab.denoiser import VideoInput
from loralab.families.ltx_video.components import QUANTIZED
from loralab.families.ltx_video.network import Modality, predict
from loralab.families.ltx_video.video_only import VideoTransformer, without_sound
from loralab.linears import FrozenLinear
from loralab.memory import Placement
from loralab.memory.plan.sizes import held, num_parameters

CPU = torch.device("cpu")
REQUESTS = {
    "noise alone": video,
    "first frame and reference": lambda: video(conditioned=first_frame(), reference=half_reference()),
}


def answer(network: Any, seen: Modality, *, dtype: torch.dtype, **changes: Any) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype != torch.float32):
        velocity = predict(network, video=seen, **changes).video
    assert velocity is not None
    return velocity


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("request_of", REQUESTS.values(), ids=REQUESTS)
def test_answers_and_gradients_are_those_of_the_whole_network_bit_for_bit(
    request_of: Any, dtype: torch.dtype
) -> None:
    seen = request_of()
    whole, lean = (adapted(video_only=video_only, dtype=dtype) for video_only in (False, True))

    for changes in ({}, {"perturbed_blocks": [1]}, {"isolated": True}):
        with torch.no_grad():
            answers = [answer(network, seen, dtype=dtype, **changes) for network in (whole, lean)]
        assert torch.equal(*answers)
    for checkpointing in ("none", "full"):
        found, expected = (
            gradients(network, lambda n: answer(n, seen, dtype=dtype), checkpointing=checkpointing)
            for network in (lean, whole)
        )
        assert list(found) == list(expected) and len(found) == 2 * 20
        assert all(gradient.any() for gradient in found.values())
        assert all(torch.equal(gradient, expected[name]) for name, gradient in found.items())


@pytest.mark.slow
def test_compiled_blocks_share_a_graph_and_give_the_same_gradients() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.families.ltx_video.compiled", "full"],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )

    found = json.loads(done.stdout)
    assert "compiling failed" not in done.stderr
    assert found["graphs"] == 1 and found["error"] < 1e-5


def test_it_takes_video_alone() -> None:
    network = without_sound(ltx_transformer(num_layers=1))

    for asked in ({"video": video(), "audio": audio()}, {"audio": audio()}):
        with pytest.raises(ValueError, match="without its audio branch"):
            predict(network, **asked)


def test_of_the_true_network_a_third_is_left_out() -> None:
    whole = real_transformer()
    lean = without_sound(whole)

    assert (num_parameters(whole), num_parameters(lean)) == (18_988_838_144, 13_124_316_288)
    for kind, sizes in ((None, [35.37, 24.45]), ("int8", [18.14, 12.46]), ("nf4", [9.77, 6.64])):
        found = [
            held(network, quantized=QUANTIZED, kind=kind, dtype=torch.bfloat16).total / 2**30
            for network in (whole, lean)
        ]
        assert found == pytest.approx(sizes, abs=0.01)
    assert not any("audio" in name or "a2v" in name for name, _ in lean.named_parameters())


def told() -> VideoInput:
    random = torch.Generator().manual_seed(0)
    return VideoInput(
        noisy=torch.randn(1, 8, 2, 2, 2, generator=random),
        fps=torch.tensor([24.0]),
        prompt_embeds=torch.randn(1, 5, 32, generator=random),
        sigma=torch.tensor([0.6]),
    )


@pytest.mark.parametrize(
    "placement",
    [Placement(CPU, torch.float32), Placement(CPU, torch.bfloat16, kind="int8", offload_blocks=1.0)],
    ids=["fp32", "int8 and swapped"],
)
@torch.no_grad()
def test_where_no_sound_is_expected_its_branch_is_not_read_and_nothing_else_changes(
    placement: Placement, tiny_ltx_folder: Path
) -> None:
    model = tiny_ltx_video(tiny_ltx_folder)
    model.place(placement)
    found = []
    for has_audio in (True, False, True):
        model.expect(has_audio=has_audio)
        torch.manual_seed(7)
        network = model.transformer
        drawn = torch.rand(1)  # from which an adapter would start
        assert isinstance(network, VideoTransformer) != has_audio
        assert isinstance(network.get_submodule("transformer_blocks.0.ff.net.2"), FrozenLinear) == (
            placement.kind is not None
        )
        found.append((drawn, model.predict(video=told()).video))

    for drawn, velocity in found[1:]:
        assert torch.equal(drawn, found[0][0]) and torch.equal(velocity, found[0][1])


def test_adapters_of_layers_of_sound_keep_the_whole_network(tiny_ltx_folder: Path, tmp_path: Path) -> None:
    model = tiny_ltx_video(tiny_ltx_folder)
    paths = {
        targets: save_adapter(model, tmp_path / f"{targets}.safetensors", targets=targets)
        for targets in ("attention", "video_attention")
    }

    for targets, is_lean in (("attention", False), ("video_attention", True), ("attention", False)):
        model.expect(has_audio=False, adapters=[paths[targets]])
        assert isinstance(model.transformer, VideoTransformer) == is_lean
        with attached(model.transformer, paths[targets], foreign_names=model.foreign_names):
            pass
