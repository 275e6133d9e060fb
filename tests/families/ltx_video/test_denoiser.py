"""LTX-Video as a ClipDenoiser: its clock and sign, what it refuses, and what the planner is told of it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from loralab.adapter import attach
from loralab.denoiser import AudioInput, ClipReference, ClipSampling, SampleSize, VideoInput
from loralab.errors import UserError
from loralab.families.ltx_video import LtxVideo
from loralab.families.ltx_video.targets import TARGETS, idle_layers
from loralab.memory import Placement

SAMPLING = ClipSampling(num_steps=2, width=64, height=64, num_frames=9, fps=24.0)
SIGMA, AUDIO_SIGMA = torch.tensor([0.3, 0.8]), torch.tensor([0.6, 0.1])


def ltx(folder: Path, **settings: Any) -> LtxVideo:
    return LtxVideo(name="ltx23", checkpoint=str(folder), sampling=SAMPLING, max_prompt_length=16, **settings)


class Perfect(nn.Module):
    """Knows the data, and answers in the network's own terms: from tokens, each at its own 1000 sigma."""

    def __init__(self, video: Tensor, audio: Tensor) -> None:
        super().__init__()
        self.video, self.audio = video.flatten(2).transpose(1, 2), audio.transpose(1, 2).flatten(2)
        self.config = SimpleNamespace(
            timestep_scale_multiplier=1000, in_channels=8, cross_attention_dim=32,
            audio_in_channels=8, audio_cross_attention_dim=16,
        )  # fmt: skip
        self.av_cross_attn_video_scale_shift = self.av_cross_attn_audio_scale_shift = nn.Identity()

    def forward(self, **given: Any) -> tuple[Tensor, Tensor]:
        self.given = given
        video = _velocity(given["hidden_states"], given["timestep"], self.video)
        return video, _velocity(given["audio_hidden_states"], given["audio_timestep"], self.audio)


def _velocity(noisy: Tensor, timestep: Tensor, data: Tensor) -> Tensor:
    sigma = timestep / 1000
    sigma = (sigma if sigma.ndim > 1 else sigma[:, None])[..., None].expand(*noisy.shape[:2], 1)
    num_references = noisy.shape[1] - data.shape[1]
    answer = torch.full_like(noisy, torch.nan)
    answer[:, num_references:] = (noisy[:, num_references:] - data) / sigma[:, num_references:]
    return answer


@pytest.mark.parametrize("is_conditioned", [False, True])
@torch.no_grad()
def test_a_network_that_answers_perfectly_in_its_own_clock_and_sign_has_no_error(
    tiny_ltx_folder: Path, is_conditioned: bool
) -> None:
    data, noise = torch.randn(2, 8, 3, 2, 2), torch.randn(2, 8, 3, 2, 2)
    sound, sound_noise = torch.randn(2, 2, 9, 4), torch.randn(2, 2, 9, 4)
    given = torch.zeros(2, 3, 2, 2, dtype=torch.bool)
    given[0, 0] = is_conditioned
    levels = SIGMA[:, None, None, None, None], AUDIO_SIGMA[:, None, None, None]
    noisy = torch.where(given[:, None], data, (1 - levels[0]) * data + levels[0] * noise)
    network = Perfect(data, sound)

    answer = (
        ltx(tiny_ltx_folder)
        .with_transformer(network)
        .predict(
            video=VideoInput(
                noisy=noisy,
                fps=torch.tensor([24.0, 30.0]),
                prompt_embeds=torch.randn(2, 5, 32),
                sigma=SIGMA,
                conditioned=given if is_conditioned else None,
                reference=ClipReference(latents=torch.randn(2, 8, 3, 1, 1), spatial_factor=2),
            ),
            audio=AudioInput(
                noisy=(1 - levels[1]) * sound + levels[1] * sound_noise,
                prompt_embeds=torch.randn(2, 5, 16),
                sigma=AUDIO_SIGMA,
            ),
        )
    )

    learned = ~given[:, None].expand_as(data)
    torch.testing.assert_close(answer.video[learned], (noise - data)[learned], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(answer.audio, sound_noise - sound, atol=1e-4, rtol=1e-4)
    told = network.given["timestep"][:, -12:]
    assert bool((told[0, :4] == 0).all()) == is_conditioned
    torch.testing.assert_close(told[1], (1000 * SIGMA[1]).expand(12))


def test_a_sound_has_as_many_latents_as_it_is_said_to_have(tiny_ltx_folder: Path) -> None:
    model = ltx(tiny_ltx_folder)

    for seconds in (9 / 24, 33 / 29.97, 1.0):
        encoded = model.encode_audio(0.1 * torch.randn(2, round(16_000 * seconds)))
        assert encoded.shape == model.audio_latents_shape(seconds=seconds)


def _adapter(path: Path, header: dict[str, str]) -> Path:
    layer = "diffusion_model.transformer_blocks.0.attn1.to_q"
    tensors = {f"{layer}.lora_A.weight": torch.randn(2, 32), f"{layer}.lora_B.weight": torch.randn(32, 2)}
    save_file(tensors, path, metadata=header)
    return path


def test_adapters_of_another_or_an_unknown_version_are_refused_wherever_they_are_attached(
    tiny_ltx_folder: Path, tmp_path: Path
) -> None:
    unknown = _adapter(tmp_path / "unknown.safetensors", {})
    older = _adapter(tmp_path / "older.safetensors", {"base_model_version": "2.0"})
    known = _adapter(tmp_path / "known.safetensors", {"base_model_version": "2.3"})
    strict, assuming = ltx(tiny_ltx_folder), ltx(tiny_ltx_folder, assume_base=2.3)

    with pytest.raises(UserError, match=r"set model\.assume_base=2\.3"):
        attach(strict.transformer, unknown, foreign_names=strict.foreign_names)
    with pytest.raises(UserError, match=r"belongs to LTX-2\.0"):
        attach(assuming.transformer, older, foreign_names=assuming.foreign_names)
    assert attach(strict.transformer, known, foreign_names=strict.foreign_names).num_modules == 1
    assert attach(assuming.transformer, unknown, foreign_names=assuming.foreign_names, name="b").rank == 2


def test_adapters_whose_references_have_other_factors_are_refused_together(
    tiny_ltx_folder: Path, tmp_path: Path
) -> None:
    model = ltx(tiny_ltx_folder)
    half, whole = (
        _adapter(tmp_path / f"{factor}.safetensors", dict(model.export_header(reference=(factor, 1))))
        for factor in (2, 1)
    )
    style = _adapter(tmp_path / "style.safetensors", dict(model.export_header(reference=None)))

    assert model.reference_factors([half, style]) == (2, 1)
    with pytest.raises(UserError, match="cannot be used together"):
        model.reference_factors([half, whole])


def test_checkpoints_of_another_version_and_distilled_ones_are_refused_before_anything_is_loaded(
    tiny_ltx_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "other"
    shutil.copytree(tiny_ltx_folder, folder)
    scheduler = folder / "scheduler" / "scheduler_config.json"
    placement = Placement(torch.device("cpu"), torch.float32)

    scheduler.write_text(json.dumps(json.loads(scheduler.read_text()) | {"use_dynamic_shifting": False}))
    with pytest.raises(UserError, match="is distilled, but model=ltx23 means a base"):
        ltx(folder).place(placement)
    ltx(folder, variant="distilled").place(placement)
    transformer = folder / "transformer" / "config.json"
    transformer.write_text(json.dumps(json.loads(transformer.read_text()) | {"gated_attn": False}))
    with pytest.raises(UserError, match=r"is LTX-2\.0, but model=ltx23 is LTX-2\.3"):
        ltx(folder, variant="distilled").place(placement)


def test_names_for_the_whole_network_leave_out_what_an_absent_modality_has(tiny_ltx_folder: Path) -> None:
    model = ltx(tiny_ltx_folder)
    names = [name for name, module in model.transformer.named_modules() if isinstance(module, nn.Linear)]

    def chosen(targets: str, **present: bool) -> list[str]:
        pattern = model.trained_pattern(targets, **present)
        return [name for name in names if re.fullmatch(pattern, name)]

    for targets in ("attention", "attention_mlp", "all"):
        alone = chosen(targets, has_video=True, has_audio=False)
        assert alone and not idle_layers(alone, has_video=True, has_audio=False)
    attention = chosen("attention", has_video=True, has_audio=False)
    assert attention == [name for name in names if re.fullmatch(TARGETS["video_attention"], name)]
    assert len(chosen("cross_attention", has_video=True, has_audio=False)) == 8
    assert len(chosen("attention", has_video=True, has_audio=True)) == 24


def test_the_planner_is_told_every_token_and_every_layers_stream(tiny_ltx_folder: Path) -> None:
    model = ltx(tiny_ltx_folder)
    size = SampleSize(height=64, width=128, frames=17, fps=24.0, has_audio=True, reference=(2, 1))

    tokens, layers = model.tokens(size), model.blueprint().layers(adapted=model.target_pattern("attention"))

    assert tokens.picture == 3 * 2 * 4 + 3 * 1 * 2
    assert tokens.audio == model.audio_latents_shape(seconds=17 / 24)[1]
    streams = {layer.name.removeprefix("transformer_blocks.0."): layer.stream for layer in layers}
    assert streams["attn1.to_q"] == streams["attn2.to_q"] == "picture"
    assert streams["attn2.to_k"] == streams["audio_attn2.to_v"] == "prompt"
    assert streams["audio_to_video_attn.to_q"] == streams["video_to_audio_attn.to_k"] == "picture"
    assert streams["audio_to_video_attn.to_v"] == streams["video_to_audio_attn.to_out.0"] == "audio"
