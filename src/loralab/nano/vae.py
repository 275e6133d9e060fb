"""The nano Klein's VAE: 64x64 pixels to 16x16 latents of 8 channels, 8x8 tokens of 32, trained on exact renders.

    joint:   |r - x| + (r - x)^2 / 2 + 2e-6 KL    means over pixels, the KL summed over a picture; z ~ q(z | x)
    decoder: |r - x| + (r - x)^2 / 2              encoder frozen; z = mean + a * noise, a uniform in [0, 0.12]

The second training polishes the decoder while the transformer already learns the latents of the first, and makes it
forgive the small errors of sampled latents. It trains on the latents that the transformer will draw: normalised.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from loralab.data.emoji.atlas import all_names
from loralab.data.emoji.spec import ATTRIBUTES, EmojiSpec
from loralab.nano.fit import Fit, best_device
from loralab.nano.latents import denormalised, encode, measure_statistics, normalised, pixels

STYLE_WEIGHTS = {"noto": 0.6, "linocut": 0.25, "twemoji": 0.15}
KL_WEIGHT = 2e-6
LATENT_NOISE = 0.12
CONFIG: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "block_out_channels": (16, 32, 64),
    "layers_per_block": 1,
    "latent_channels": 8,
    "norm_num_groups": 8,
    "sample_size": 64,
}


def build_vae() -> Any:
    """An untrained AutoencoderKLFlux2 of the nano size, whose latents start with little noise of their own."""
    from diffusers import AutoencoderKLFlux2

    vae = AutoencoderKLFlux2(**CONFIG)
    with torch.no_grad():  # with unit variance the decoder would see noise only for long
        log_variance = slice(CONFIG["latent_channels"], None)
        vae.quant_conv.weight[log_variance] *= 0.1
        vae.quant_conv.bias[log_variance] = -6.0
    return vae


def random_spec(rng: random.Random) -> EmojiSpec:
    """Any picture whatever, seen or held out, in any style: the VAE knows no captions."""
    values = {key: rng.choice(all_) if rng.random() < 0.5 else all_[0] for key, all_ in ATTRIBUTES.items()}
    style = rng.choices(list(STYLE_WEIGHTS), list(STYLE_WEIGHTS.values()))[0]
    return EmojiSpec(name=rng.choice(all_names()), style=style, **values)


def train_vae(out: Path, *, minutes: float, batch_size: int, peak_lr: float, resume: bool, seed: int = 0) -> None:
    """Trains encoder and decoder for `minutes`, then measures the latents' statistics; leaves `vae_state.pt`."""
    device = best_device()
    torch.manual_seed(seed)
    vae = build_vae().to(device)
    fit = Fit("vae", out, modules={"vae": vae}, parameters=vae.parameters(), peak_lr=peak_lr)
    fit.resume(resume)
    rng = random.Random(f"{seed}/{fit.step}")

    def loss_of() -> tuple[Tensor, dict[str, float]]:
        batch = pixels(random_spec(rng) for _ in range(batch_size)).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            posterior = vae.encode(batch).latent_dist
            loss, mse = reconstruction_loss(vae.decode(posterior.sample()).sample, batch)
        return loss + KL_WEIGHT * posterior.kl().mean(), {"mse": mse}

    fit.run(loss_of, minutes=minutes)
    set_statistics(vae, seed=seed)
    fit.save()


def polish_decoder(
    out: Path, *, minutes: float, batch_size: int, peak_lr: float, resume: bool, num_pictures: int = 8000, seed: int = 0
) -> None:
    """Trains the decoder on latents of the frozen encoder for `minutes`; leaves `decoder_state.pt`."""
    device, rng = best_device(), random.Random(seed)
    torch.manual_seed(seed)
    vae = load_vae(out / "vae_state.pt").to(device)
    specs = [random_spec(rng) for _ in range(num_pictures)]
    latents = normalised(vae, encode(vae, specs))
    learnt = [*vae.decoder.parameters(), *vae.post_quant_conv.parameters()]
    for parameter in learnt:
        parameter.requires_grad_(True)
    fit = Fit("decoder", out, modules={"vae": vae}, parameters=learnt, peak_lr=peak_lr)
    fit.resume(resume)

    def loss_of() -> tuple[Tensor, dict[str, float]]:
        chosen = [rng.randrange(num_pictures) for _ in range(batch_size)]
        noisy = latents[chosen] + LATENT_NOISE * torch.rand(batch_size, 1, 1, 1) * torch.randn_like(latents[chosen])
        batch = pixels(specs[index] for index in chosen).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            decoded = vae.decode(denormalised(vae, noisy.to(device))).sample
            loss, mse = reconstruction_loss(decoded, batch)
        return loss, {"mse": mse}

    fit.run(loss_of, minutes=minutes)


def reconstruction_loss(
    decoded: Float[Tensor, " b 3 h w"], batch: Float[Tensor, " b 3 h w"]
) -> tuple[Float[Tensor, ""], float]:
    """The loss of pixels and their mean squared error on its own."""
    error = decoded.float() - batch
    mse = error.square().mean()
    return error.abs().mean() + 0.5 * mse, mse.item()


def set_statistics(vae: Any, *, num_pictures: int = 2000, seed: int = 0) -> None:
    """Writes the mean and variance of Noto's latents into the VAE, as the transformer's normalisation."""
    rng = random.Random(seed)
    specs = [random_spec(rng) for _ in range(num_pictures)]
    measure_statistics(vae, encode(vae, [spec for spec in specs if spec.style == "noto"]))


def load_vae(state_path: Path) -> Any:
    """The VAE of a training's state, frozen."""
    vae = build_vae()
    vae.load_state_dict(torch.load(state_path, map_location="cpu", weights_only=True)["vae"])
    return vae.eval().requires_grad_(False)
