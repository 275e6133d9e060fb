"""Trains the nano Klein's text encoder and transformer together on the bank of seen pictures.

x = (1 - sigma) z + sigma e,  loss = |v(x, sigma, caption) - (e - z)|^2,  sigma = 1 / (1 + exp(-n)), n ~ N(0.5, 1).
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from loralab.nano.bank import TextBatch
from loralab.nano.budget import Budget
from loralab.nano.klein import build_networks, embed, predict
from loralab.nano.words import build_tokenizer

EMA_EVERY = 5


def train_klein(
    out: Path,
    *,
    minutes: float,
    batch_size: int,
    peak_lr: float,
    compiled: bool,
    optimizer_name: str = "adamw",
    seed: int = 0,
    bank=None,
    max_steps=10**9,
) -> None:
    """Trains for `minutes` on the best device here, resuming from `out`; the state holds the averaged weights too."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(seed)
    tokenizer = build_tokenizer()
    networks = nn.ModuleList(build_networks(len(tokenizer))).to(device)
    average = copy.deepcopy(networks).requires_grad_(False)
    optimizers = build_optimizers(networks, peak_lr=peak_lr, name=optimizer_name)
    budget = Budget(minutes, state_path=out / "klein_state.pt", save_every_s=240)
    step = restore(budget, networks, average, optimizers)
    rng = np.random.default_rng([seed, step])
    torch.manual_seed(seed + step)
    loss_of = torch.compile(klein_loss) if compiled else klein_loss
    log = (out / "klein_log.jsonl").open("a", encoding="utf-8", buffering=1)
    recent: list[float] = []
    while not budget.over and step < max_steps:
        latents, text = bank.draw(batch_size, rng=rng)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = budget.learning_rate(step, peak=group["peak"], warmup_steps=200)
        with torch.autocast(device.type, torch.bfloat16):
            loss = loss_of(
                networks, latents.to(device), TextBatch(text.tokens.to(device), text.mask.to(device))
            )
        loss.backward()
        norm = nn.utils.clip_grad_norm_(networks.parameters(), 1.0)
        if not torch.isfinite(norm):
            raise FloatingPointError(f"the gradient is not finite at step {step}: lower --lr and resume.")
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        step += 1
        recent.append(loss.item())
        if step % EMA_EVERY == 0:
            update_average(average, networks, step=step)
        if step % 50 == 0:
            log.write(
                json.dumps({"step": step, "s": round(budget.spent_s), "loss": sum(recent) / len(recent)})
                + "\n"
            )
            recent.clear()
        if budget.due() or budget.over:
            budget.save(state_of(step, networks, average, optimizers))


def klein_loss(networks: nn.ModuleList, latents: Tensor, text: TextBatch) -> Tensor:
    """Mean squared error of the velocity at random sigmas."""
    text_encoder, transformer = networks
    embeds = embed(text_encoder, text.tokens, mask=text.mask)
    sigma = torch.sigmoid(torch.randn(len(latents), device=latents.device) + 0.5)
    noise, s = torch.randn_like(latents), sigma.view(-1, 1, 1)
    velocity = predict(transformer, (1 - s) * latents + s * noise, sigma=sigma, embeds=embeds)
    return (velocity - (noise - latents)).square().mean()


def build_optimizers(networks: nn.ModuleList, *, peak_lr: float, name: str) -> list[torch.optim.Optimizer]:
    if name == "adamw":
        opts: list[Any] = [
            torch.optim.AdamW(
                networks.parameters(), peak_lr, betas=(0.9, 0.99), weight_decay=0.01, fused=True
            )
        ]
        opts[0].param_groups[0]["peak"] = peak_lr
        return opts
    hidden = [p for n, p in networks.named_parameters() if p.ndim == 2 and ("blocks." in n or "layers." in n)]
    ids = {id(p) for p in hidden}
    rest = [p for p in networks.parameters() if id(p) not in ids]
    muon = torch.optim.Muon(hidden, lr=0.02, momentum=0.95, weight_decay=0.01, adjust_lr_fn="original")
    adam = torch.optim.AdamW(rest, peak_lr, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    muon.param_groups[0]["peak"] = 0.02
    adam.param_groups[0]["peak"] = peak_lr
    return [muon, adam]


@torch.no_grad()
def update_average(average: nn.ModuleList, networks: nn.ModuleList, *, step: int) -> None:
    """Moves the averaged weights towards the current ones; the memory grows to about 1,500 steps."""
    share = 1 - min(0.9967, (1 + step / EMA_EVERY) / (20 + step / EMA_EVERY))
    for mean, value in zip(average.parameters(), networks.parameters(), strict=True):
        mean.lerp_(value, share)


def state_of(
    step: int, networks: nn.ModuleList, average: nn.ModuleList, optimizers: list[Any]
) -> dict[str, Any]:
    return {
        "step": step,
        "networks": networks.state_dict(),
        "average": average.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
    }


def restore(budget: Budget, networks: nn.ModuleList, average: nn.ModuleList, optimizers: list[Any]) -> int:
    state = budget.resume()
    if state is None:
        return 0
    networks.load_state_dict(state["networks"])
    average.load_state_dict(state["average"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return int(state["step"])
