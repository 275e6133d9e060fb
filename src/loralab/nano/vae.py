"""The nano Klein's VAE: 64x64 pixels to 16x16 latents of 8 channels, 8x8 tokens of 32, trained on exact renders.

    e = decoded - pixels,  c = two differences of e's colours (green against magenta, red against blue)
    picture = |e| + e^2 / 2 + w |c|           means over pixels
    joint:   picture + 1e-6 KL                KL summed over a picture; z ~ q(z | x)
    decoder: picture                          encoder frozen; z = mean + a * noise, a uniform in [0, 0.12]

Emoji are mostly orange, brown and grey: without the colour term and without pictures whose channels are permuted, the
encoder spends its 8 channels on shape and loses the green-magenta axis altogether. The second training polishes the
decoder while the transformer already learns the latents, and makes it forgive the small errors of sampled latents.
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
KL_WEIGHT = 1e-6
COLOUR_WEIGHT = 0.7
PERMUTED_SHARE = 0.35
COLOUR_DIFFERENCES = ((-0.5, 1.0, -0.5), (0.7, 0.0, -0.7))
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


def train_vae(
    out: Path, *, minutes: float, batch_size: int, peak_lr: float, resume: bool, seed: int = 0
) -> None:
    """Trains encoder and decoder for `minutes`, then measures the latents' statistics; leaves `vae_state.pt`."""
    device = best_device()
    torch.manual_seed(seed)
    vae = build_vae().to(device)
    fit = Fit("vae", out, modules={"vae": vae}, parameters=vae.parameters(), peak_lr=peak_lr)
    fit.resume(resume)
    rng = random.Random(f"{seed}/{fit.step}")

    def loss_of() -> tuple[Tensor, dict[str, float]]:
        batch = permuted(pixels(random_spec(rng) for _ in range(batch_size)), rng=rng).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            posterior = vae.encode(batch).latent_dist
            loss, mse = reconstruction_loss(vae.decode(posterior.sample()).sample, batch)
        return loss + KL_WEIGHT * posterior.kl().mean(), {"mse": mse}

    fit.run(loss_of, minutes=minutes)
    set_statistics(vae, seed=seed)
    fit.save()


def polish_decoder(
    out: Path,
    *,
    minutes: float,
    batch_size: int,
    peak_lr: float,
    resume: bool,
    num_pictures: int = 8000,
    seed: int = 0,
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
        noisy = latents[chosen] + LATENT_NOISE * torch.rand(batch_size, 1, 1, 1) * torch.randn_like(
            latents[chosen]
        )
        batch = pixels(specs[index] for index in chosen).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            decoded = vae.decode(denormalised(vae, noisy.to(device))).sample
            loss, mse = reconstruction_loss(decoded, batch)
        return loss, {"mse": mse}

    fit.run(loss_of, minutes=minutes)


def reconstruction_loss(
    decoded: Float[Tensor, " b 3 h w"], batch: Float[Tensor, " b 3 h w"]
) -> tuple[Float[Tensor, ""], float]:
    """The picture's loss and its mean squared error alone."""
    error = decoded.float() - batch
    colour = torch.einsum("kc,bchw->bkhw", error.new_tensor(COLOUR_DIFFERENCES), error)
    mse = error.square().mean()
    return error.abs().mean() + 0.5 * mse + COLOUR_WEIGHT * colour.abs().mean(), mse.item()


def permuted(batch: Float[Tensor, " b 3 h w"], *, rng: random.Random) -> Float[Tensor, " b 3 h w"]:
    """The batch with the colour channels of about a third of its pictures exchanged."""
    orders = [rng.sample(range(3), 3) if rng.random() < PERMUTED_SHARE else [0, 1, 2] for _ in batch]
    return torch.stack([picture[order] for picture, order in zip(batch, orders, strict=True)])


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
