"""The nano Klein's VAE, trained on exact renders: 64x64 pixels to 16x16 latents of 8 channels, 8x8 tokens of 32.

loss = |r - x| + (r - x)^2 / 2 + 2e-6 KL, means over pixels and the KL summed over a picture, averaged over pictures.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from loralab.data.emoji.atlas import all_names
from loralab.data.emoji.render import render
from loralab.data.emoji.spec import ATTRIBUTES, EmojiSpec
from loralab.nano.budget import Budget

STYLE_WEIGHTS = {"noto": 0.6, "linocut": 0.25, "twemoji": 0.15}
CONFIG: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "block_out_channels": (16, 48, 96),
    "layers_per_block": 1,
    "latent_channels": 8,
    "norm_num_groups": 8,
    "sample_size": 64,
}


def build_vae() -> Any:
    """An untrained AutoencoderKLFlux2 of the nano size."""
    from diffusers import AutoencoderKLFlux2

    vae = AutoencoderKLFlux2(**CONFIG)
    with (
        torch.no_grad()
    ):  # start as a plain autoencoder: with unit variance the decoder would see noise only for long
        half = CONFIG["latent_channels"]
        vae.quant_conv.weight[half:] *= 0.1
        vae.quant_conv.bias[half:] = -6.0
    return vae


def random_spec(rng: random.Random) -> EmojiSpec:
    """Any picture whatever, seen or held out, in any style: the VAE knows no captions."""
    values = {
        key: rng.choice(values) if rng.random() < 0.5 else values[0] for key, values in ATTRIBUTES.items()
    }
    style = rng.choices(list(STYLE_WEIGHTS), list(STYLE_WEIGHTS.values()))[0]
    return EmojiSpec(name=rng.choice(all_names()), style=style, **values)


def pixels(specs: Iterable[EmojiSpec]) -> Float[Tensor, "b 3 h w"]:
    """The rendered specs in [-1, 1]."""
    stacked = np.stack([render(spec) for spec in specs])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 127.5 - 1


def train_vae(
    out: Path, *, minutes: float, batch_size: int, peak_lr: float, compiled: bool, seed: int = 0
) -> None:
    """Trains for `minutes` on the best device here, resuming from `out`; leaves `vae/`, a diffusers folder, in it."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(seed)
    vae = build_vae().to(device)
    optimizer = torch.optim.AdamW(vae.parameters(), peak_lr, betas=(0.9, 0.99), weight_decay=0.0)
    budget = Budget(minutes, state_path=out / "vae_state.pt")
    step = _restore(budget, vae, optimizer)
    rng = random.Random(f"{seed}/{step}")
    loss_of = torch.compile(_loss(vae)) if compiled else _loss(vae)
    log = (out / "vae_log.jsonl").open("a", encoding="utf-8", buffering=1)
    while not budget.over:
        batch = pixels(random_spec(rng) for _ in range(batch_size)).to(device)
        for group in optimizer.param_groups:
            group["lr"] = budget.learning_rate(step, peak=peak_lr, warmup_steps=100)
        with torch.autocast(device.type, torch.bfloat16):
            loss, mse = loss_of(batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        if not torch.isfinite(norm):
            raise FloatingPointError(
                f"the VAE's gradient is not finite at step {step}: lower --lr and resume."
            )
        optimizer.step()
        step += 1
        if step % 50 == 0:
            log.write(
                json.dumps({"step": step, "s": round(budget.spent_s), "loss": loss.item(), "mse": mse.item()})
                + "\n"
            )
        if budget.due():
            budget.save({"step": step, "vae": vae.state_dict(), "optimizer": optimizer.state_dict()})
    budget.save({"step": step, "vae": vae.state_dict(), "optimizer": optimizer.state_dict()})
    finish_vae(vae, out)


def _loss(vae: Any) -> Any:
    def loss_of(batch: Tensor) -> tuple[Tensor, Tensor]:
        posterior = vae.encode(batch).latent_dist
        error = vae.decode(posterior.sample()).sample.float() - batch
        mse = error.square().mean()
        return error.abs().mean() + 0.5 * mse + 2e-6 * posterior.kl().mean(), mse.detach()

    return loss_of


def _restore(budget: Budget, vae: Any, optimizer: torch.optim.Optimizer) -> int:
    state = budget.resume()
    if state is None:
        return 0
    vae.load_state_dict(state["vae"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])
