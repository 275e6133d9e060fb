"""Times one step of LTX-2.3 in this process: `python bench/ltx_speed_step.py '<case as JSON>' [wave's folder] [size]`.

`bench/ltx_speed.py` starts it. Ours is the step of loralab's own objective and denoiser on ready latents and prompts.
The reference is what public training scripts run: bf16, eager, PEFT LoRA in fp32 under autocast, gradient
checkpointing, AdamW, and a timestep for each token, as in the vendor's trainer.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from bench.ltx_cases import FPS, TARGETS, ClipCase, write_configs  # noqa: E402  found through the line above
from bench.shapes import random_tensors  # noqa: E402
from bench.step import move, placement_of, updated, with_peft  # noqa: E402
from bench.timing import GIB, Made, arrive, last_lines, measured, say  # noqa: E402

AUDIO_LATENTS = (8, 16)
"""Channels and mel bins."""


def main() -> None:
    """Measures and prints one JSON line."""
    logging.basicConfig(level=logging.INFO, format="[%(name)s] %(message)s")
    case = ClipCase(**json.loads(sys.argv[1]))
    device = torch.device("cpu") if case.tiny else torch.device("cuda", 0)
    row: dict[str, Any] = {
        **vars(case),
        "label": case.label,
        "targets": TARGETS,
        "prompt_tokens": case.prompt_tokens,
    }
    row |= {"tokens": case.tokens, "audio_tokens": case.audio_tokens}
    try:
        if case.tiny:
            torch.compile = functools.partial(
                torch.compile, backend="aot_eager"
            )  # traced alike, no code made
        else:
            row["device"] = torch.cuda.get_device_name(device)
            total = torch.cuda.get_device_properties(device).total_memory / GIB
            torch.cuda.set_per_process_memory_fraction(min(1.0, (case.cap_gib or total) / total))
        make = functools.partial(reference if case.variant == "reference" else ours, case, device)
        row |= measured(make, device, wave=sys.argv[2:], beside=case.profiled)
    except Exception as error:
        row["failed"] = last_lines(error)
        arrive(sys.argv[2:])
    print("ROW " + json.dumps(row), flush=True)


def ours(case: ClipCase, device: torch.device) -> Made:
    """Gives the step of loralab's own objective."""
    from loralab.adapter import LoraSpec, inject
    from loralab.data.video.batch import ClipBatch
    from loralab.flow import ShiftedLogitNormal
    from loralab.flow.weighting import ConstantWeighting
    from loralab.memory.compiling import num_graphs
    from loralab.objectives import AudioVideoFlow

    base = _placed(case, device)
    network = base.transformer
    pattern = base.trained_pattern(TARGETS, has_video=True, has_audio=case.audio)
    names = inject(network, LoraSpec(rank=case.rank, alpha=case.rank, targets=TARGETS), pattern=pattern)
    base.require_trainable_layers(names, TARGETS, has_video=True, has_audio=case.audio)
    move(network)
    say(f"{len(names)} layers adapted")
    module: Any = AudioVideoFlow(
        sigmas=ShiftedLogitNormal(), weighting=ConstantWeighting(), mode="t2av" if case.audio else "t2v"
    )(
        base,
        optimizer=functools.partial(torch.optim.AdamW, lr=1e-4, fused=True),
        schedule=functools.partial(torch.optim.lr_scheduler.LambdaLR, lr_lambda=lambda step: 1.0),
        seed=0,
    )
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = module.configure_optimizers()["optimizer"]
    video, audio, words, audio_words = _drawn(case, torch.device("cpu"))
    batch = ClipBatch(
        video=video.transpose(1, 2).unflatten(2, tuple(case.grid)),
        fps=torch.full((1,), FPS),
        audio=audio.unflatten(2, AUDIO_LATENTS).transpose(1, 2) if case.audio else None,
        video_embeds=words,
        audio_embeds=audio_words,
        weight=torch.ones(1),
        index=0,
        captions=("",),
        keys=("",),
    )
    batch = batch.pinned() if device.type == "cuda" else batch
    count = iter(range(10**6))

    def step() -> torch.Tensor:
        sent = dataclasses.replace(batch.to(device, non_blocking=True), index=next(count))
        loss: torch.Tensor = module.training_step(sent, 0)["loss"]
        return updated(loss, parameters, optimizer)

    return step, lambda: {"num_graphs": num_graphs(), **_held(network)}


def reference(case: ClipCase, device: torch.device) -> Made:
    """Gives the step of public training scripts, in diffusers' own terms."""
    from diffusers import LTX2VideoTransformer3DModel

    from loralab.families.ltx_video.targets import TARGETS as PATTERNS
    from loralab.families.ltx_video.targets import used_pattern
    from loralab.memory.compiling import VARIANTS, num_graphs, use_cache_folder
    from loralab.memory.loading import Holding, empty, fill

    blank = empty(lambda: LTX2VideoTransformer3DModel(**case.sizes))
    network: Any = fill(blank, random_tensors(blank, device), Holding(device, torch.bfloat16))
    say("weights drawn")
    pattern = used_pattern(PATTERNS[TARGETS], TARGETS, has_video=True, has_audio=case.audio)
    parameters = with_peft(network, pattern, rank=case.rank)
    say("adapted")
    if case.compile:
        use_cache_folder()
        torch._dynamo.config.recompile_limit = VARIANTS
        for block in network.transformer_blocks:
            block.compile(**({"backend": "aot_eager"} if case.tiny else {}))
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    video, audio, words, audio_words = _drawn(case, device)
    frames, height, width = case.grid

    def step() -> torch.Tensor:
        sigma, audio_sigma = torch.rand(1, device=device), torch.rand(1, device=device)
        noise, audio_noise = torch.randn_like(video), torch.randn_like(audio)
        noisy = (1 - sigma) * video + sigma * noise
        noisy_audio = (1 - audio_sigma) * audio + audio_sigma * audio_noise
        with torch.autocast(device.type, torch.bfloat16):
            seen, heard = network(
                hidden_states=noisy, audio_hidden_states=noisy_audio, encoder_hidden_states=words,
                audio_encoder_hidden_states=audio_words, sigma=1000 * sigma, audio_sigma=1000 * audio_sigma,
                timestep=(1000 * sigma)[:, None].expand(1, video.shape[1]),
                audio_timestep=(1000 * audio_sigma)[:, None].expand(1, audio.shape[1]),
                num_frames=frames, height=height, width=width, fps=FPS, audio_num_frames=audio.shape[1],
                isolate_modalities=not case.audio, use_cross_timestep=True, return_dict=False,
            )  # fmt: skip
        loss = (seen.float() - (noise - video)).square().mean()
        if case.audio:
            loss = loss + (heard.float() - (audio_noise - audio)).square().mean()
        return updated(loss, parameters, optimizer)

    return step, lambda: {"num_graphs": num_graphs(), **_held(network)}


def _placed(case: ClipCase, device: torch.device) -> Any:
    """Gives the family's denoiser with random weights, held and run as the case says, without an adapter."""
    from diffusers import LTX2VideoTransformer3DModel

    from loralab.denoiser import ClipSampling
    from loralab.families.ltx_video import LtxVideo
    from loralab.families.ltx_video.attention import use_processors
    from loralab.families.ltx_video.components import QUANTIZED
    from loralab.families.ltx_video.video_only import without_sound
    from loralab.memory.loading import empty

    folder = Path(tempfile.mkdtemp())
    write_configs(case, folder)
    base = LtxVideo(
        name=case.model,
        checkpoint=str(folder),
        sampling=ClipSampling(num_steps=30, width=768, height=448, num_frames=89, fps=FPS),
    )
    placement = placement_of(case, device)
    blank: Any = empty(lambda: LTX2VideoTransformer3DModel(**case.sizes))
    blank = blank if case.audio else without_sound(blank)
    network = placement.filled(lambda: blank, random_tensors(blank, device), quantized=QUANTIZED)
    say("weights drawn")
    placement.apply(use_processors(network))
    base.place(placement)
    return base.with_transformer(network)


def _drawn(case: ClipCase, device: torch.device) -> tuple[torch.Tensor, ...]:
    """Gives tokens of video and sound (fp32) and a prompt's embeddings for each (bf16)."""
    width = case.sizes.get("cross_attention_dim", 4096)
    audio_width = case.sizes.get("audio_cross_attention_dim", 2048)
    tokens = [torch.randn(1, count, 128, device=device) for count in (case.tokens, case.audio_tokens)]
    words = [
        torch.randn(1, case.prompt_tokens, size, device=device, dtype=torch.bfloat16)
        for size in (width, audio_width)
    ]
    return (*tokens, *words)


def _held(network: torch.nn.Module) -> dict[str, Any]:
    """Counts layers of the blocks by how their products are taken, and names the attention: nothing may hide."""
    from loralab.adapter.layers import linear_layers, tuner_layers
    from loralab.linears import FrozenLinear
    from loralab.memory.attention import Processor

    blocks = {
        name: layer
        for name, layer in linear_layers(network).items()
        if name.startswith("transformer_blocks.")
    }
    low = [layer for layer in blocks.values() if isinstance(layer, FrozenLinear) and layer.low_bit]
    dense = [layer for layer in blocks.values() if not isinstance(layer, FrozenLinear)]
    processor = vars(network.get_submodule("transformer_blocks.0.attn1"))["processor"]
    return {
        "attention": processor.backend if isinstance(processor, Processor) else None,
        "adapted_layers": len(tuner_layers(network)),
        "low_bit_layers": len(low),
        "dense_layers": len(dense),
        "dense_parameters": sum(layer.in_features * layer.out_features for layer in dense),
    }


if __name__ == "__main__":
    main()
