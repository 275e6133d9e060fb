"""A tiny LTX-Video checkpoint as `ClipDenoiser`, how its clips are drawn, and adapter files for it."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from tests.tiny_ltx import ltx_transformer

from loralab.adapter import AdapterMetadata, LoraSpec, adapter_parameters, export_adapter, inject
from loralab.denoiser import ClipSampling, ModalityGuidance
from loralab.families.ltx_video import LtxVideo

GUIDED = ModalityGuidance(scale=3.0, perturbed=1.0, modality=3.0, rescale=0.7)
GUIDED_SOUND = ModalityGuidance(scale=7.0, perturbed=1.0, modality=3.0, rescale=0.7)
DISTILLED = (1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875, 0.0)
PLAIN = {"video": ModalityGuidance(), "audio": ModalityGuidance(), "num_steps": 2}
"""Settings of a quick base."""


def tiny_ltx_video(folder: Path, *, variant: str = "base", **changes: object) -> LtxVideo:
    """The checkpoint with sampling settings of its size."""
    settings = {
        "num_steps": 3, "width": 64, "height": 32, "num_frames": 9, "fps": 12.0, "video": GUIDED,
        "audio": GUIDED_SOUND, "perturbed_blocks": (0,), "negative_prompt": "dull", **changes,
    }  # fmt: skip
    return LtxVideo(
        name="ltx23", checkpoint=str(folder), sampling=ClipSampling(**settings), variant=variant,
        max_prompt_length=16,
    )  # fmt: skip


def ltx_model(folder: Path, **changes: object) -> LtxVideo:
    """The same with a transformer of two blocks, of which every parameter is random."""
    return tiny_ltx_video(folder, **{"perturbed_blocks": (1,), **changes}).with_transformer(ltx_transformer())


def save_adapter(
    model: LtxVideo,
    path: Path,
    *,
    seed: int = 0,
    reference: tuple[int, int] | None = None,
    targets: str = "attention",
) -> Path:
    """Saves an adapter, usually on both streams, that changes what is drawn; the model stays as it is."""
    network = copy.deepcopy(model.transformer)
    inject(network, LoraSpec(rank=4, alpha=2.0, targets=targets), pattern=model.target_pattern(targets))
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in adapter_parameters(network):
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=random))
    metadata = AdapterMetadata(
        family="ltx_video", model="ltx23", checkpoint="somebody/some-model", base_digest="0" * 64,
        objective="audio_video_flow", rank=4, alpha=2.0, targets=targets, step=7, config_digest="f" * 64,
    )  # fmt: skip
    return export_adapter(
        network, path, prefix=model.export_prefix, metadata=metadata, rename=model.exported_name,
        header=model.export_header(reference=reference),
    )  # fmt: skip
