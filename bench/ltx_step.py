"""Trains the shapes of LTX-2.3 (22B, 35 GiB in bf16) on a card of 24 GiB: the transformer alone, weights swapped.

    python bench/ltx_step.py --cap-gib 24 --out docs/ltx_step.json        # --tiny: the same path on any CPU

Random weights, LoRA of rank 32 on attention, 4,032 video tokens and one audio token (video only). Every block's weights
wait in main memory (36 GiB of it) and pass through the card twice a step. The family itself is not part of loralab yet.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

GIB = 2**30
LTX23: dict[str, Any] = {
    "gated_attn": True,
    "cross_attn_mod": True,
    "audio_gated_attn": True,
    "audio_cross_attn_mod": True,
    "use_prompt_embeddings": False,
    "perturbed_attn": True,
    "rope_type": "split",
}
TINY: dict[str, Any] = {
    "in_channels": 128, "num_attention_heads": 2, "attention_head_dim": 16, "cross_attention_dim": 32,
    "audio_num_attention_heads": 2, "audio_attention_head_dim": 8, "audio_cross_attention_dim": 16, "num_layers": 3,
}  # fmt: skip
FRAMES, HEIGHT, WIDTH = 8, 18, 28
TARGETS = r"transformer_blocks\.\d+\.(audio_)?(attn[12]|audio_to_video_attn|video_to_audio_attn)\.(to_[qkv]|to_out\.0)"


def main() -> None:
    """Prints and keeps step time and peak memory."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cap-gib", type=float, default=24.0)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    device = torch.device("cpu" if arguments.tiny else "cuda")
    if not arguments.tiny:
        total = torch.cuda.get_device_properties(0).total_memory / GIB
        torch.cuda.set_per_process_memory_fraction(arguments.cap_gib / total)
    row = measured(device, sizes=TINY if arguments.tiny else {}, arguments=arguments)
    print("ROW " + json.dumps(row))
    if arguments.out:
        arguments.out.write_text(json.dumps(row, indent=1) + "\n")


def measured(device: torch.device, *, sizes: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """Gives loading and step figures."""
    from bench.shapes import random_tensors
    from diffusers import LTX2VideoTransformer3DModel

    from loralab.adapter import LoraSpec, inject
    from loralab.memory import Placement
    from loralab.memory.loading import empty

    started = time.perf_counter()
    placement = Placement(
        device=device, dtype=torch.bfloat16, checkpointing="full", compile=arguments.compile, attention="flash",
        offload_blocks=1.0, offload_activations=True,
    )  # fmt: skip
    blank = empty(lambda: LTX2VideoTransformer3DModel(**LTX23, **sizes))
    count = sum(parameter.numel() for parameter in blank.parameters())
    network = placement.filled(lambda: blank, random_tensors(blank, device), quantized="")
    print(f"drawn in {time.perf_counter() - started:.0f} s", flush=True)
    placement.apply(network)
    rank = 4 if sizes else 32
    names = inject(network, LoraSpec(rank=rank, alpha=rank, targets="attention"), pattern=TARGETS)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=True)
    network.train()
    loaded_s = time.perf_counter() - started
    print(f"loaded and adapted in {loaded_s:.0f} s", flush=True)
    step = _step(network, device, sizes=sizes)
    times, losses = [], []
    for _ in range(arguments.steps):
        before = time.perf_counter()
        loss = step()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss))  # waits for the device
        times.append(round(time.perf_counter() - before, 3))
        print(f"step {len(times)}: {times[-1]} s", flush=True)
    on_cuda = device.type == "cuda"
    return {
        "model": "LTX-2.3",
        "parameters": count,
        "adapted_layers": len(names),
        "video_tokens": FRAMES * HEIGHT * WIDTH,
        "cap_gib": arguments.cap_gib,
        "peak_gib": round(torch.cuda.max_memory_allocated() / GIB, 2) if on_cuda else None,
        "reserved_gib": round(torch.cuda.max_memory_reserved() / GIB, 2) if on_cuda else None,
        "loaded_s": round(loaded_s, 1),
        "step_s": times,
        "losses": [round(loss, 4) for loss in losses],
        "device": torch.cuda.get_device_name() if on_cuda else "cpu",
    }


def _step(network: Any, device: torch.device, *, sizes: dict[str, Any]) -> Any:
    width, audio_width = (32, 16) if sizes else (4096, 2048)
    source = torch.Generator(device).manual_seed(0)

    def drawn(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.randn(shape, generator=source, device=device, dtype=dtype)

    tokens = FRAMES * HEIGHT * WIDTH
    latents, noise, audio = drawn(1, tokens, 128), drawn(1, tokens, 128), drawn(1, 1, 128)
    words = drawn(1, 128, width, dtype=torch.bfloat16)
    audio_words = drawn(1, 128, audio_width, dtype=torch.bfloat16)

    def step() -> torch.Tensor:
        sigma = torch.full((1,), 0.6, device=device)
        with torch.autocast(device.type, torch.bfloat16):
            video, _ = network(
                hidden_states=0.4 * latents + 0.6 * noise, audio_hidden_states=audio, encoder_hidden_states=words,
                audio_encoder_hidden_states=audio_words, timestep=(1000 * sigma)[:, None].expand(1, tokens),
                audio_timestep=1000 * sigma, sigma=1000 * sigma, audio_sigma=1000 * sigma,
                encoder_attention_mask=None, audio_encoder_attention_mask=None, num_frames=FRAMES, height=HEIGHT,
                width=WIDTH, fps=24.0, audio_num_frames=1, isolate_modalities=True, use_cross_timestep=True,
                return_dict=False,
            )  # fmt: skip
        error: torch.Tensor = (video.float() - (noise - latents)).square().mean()
        return error

    return step


if __name__ == "__main__":
    main()
