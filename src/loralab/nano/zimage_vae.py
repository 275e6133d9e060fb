"""The nano Z-Image's VAE: Klein's, trained on with confetti and in every style, its latents normalised by itself.

    loss = picture + 1e-6 KL, as in `loralab.nano.vae`
Z-Image's latents have one shift and one factor for all channels. Mean and deviation of each channel are therefore put
into the 1x1 convolutions around the latents, which changes no picture, and the shift is 0 and the factor 1.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from loralab.data.emoji.varied import VariedEmoji
from loralab.nano.fit import Fit, best_device
from loralab.nano.vae import KL_WEIGHT, PERMUTED_SHARE, random_spec, reconstruction_loss
from loralab.nano.zimage_bank import encode_pixels, pictures, to_unit
from loralab.nano.zimage_parts import build_vae


def tune_zimage_vae(
    out: Path,
    *,
    minutes: float,
    batch_size: int,
    peak_lr: float,
    resume: bool,
    num_pictures: int,
    seed: int = 0,
) -> None:
    """Trains encoder and decoder for `minutes`, then normalises the latents; leaves `zimage_vae_state.pt`."""
    device, rng = best_device(), random.Random(seed)
    torch.manual_seed(seed)
    vae = build_vae().to(device)
    fit = Fit("zimage_vae", out, modules={"vae": vae}, parameters=vae.parameters(), peak_lr=peak_lr)
    fit.resume(resume)
    shown = pictures([_any_picture(rng) for _ in range(num_pictures)]).to(device)

    def loss_of() -> tuple[Tensor, dict[str, float]]:
        chosen = torch.randint(len(shown), (batch_size,)).to(device)
        batch = permuted(to_unit(shown[chosen]))
        with torch.autocast(device.type, torch.bfloat16):
            posterior = vae.encode(batch).latent_dist
            loss, mse = reconstruction_loss(vae.decode(posterior.sample()).sample, batch)
        return loss + KL_WEIGHT * posterior.kl().mean(), {"mse": mse}

    fit.run(loss_of, minutes=minutes)
    normalise(vae, encode_pixels(vae, shown[: min(num_pictures, 4096)]))
    fit.save()


def permuted(batch: Float[Tensor, " b 3 h w"]) -> Float[Tensor, " b 3 h w"]:
    """The batch with the colour channels of about a third of its pictures exchanged, on its own device."""
    orders = torch.rand(len(batch), 3, device=batch.device).argsort(1)
    kept = torch.rand(len(batch), 1, device=batch.device) >= PERMUTED_SHARE
    orders = torch.where(kept, torch.arange(3, device=batch.device), orders)
    return batch.gather(1, orders[:, :, None, None].expand_as(batch))


@torch.no_grad()
def normalise(vae: Any, latents: Float[Tensor, " b c h w"]) -> None:
    """Makes the encoder give latents of mean 0 and variance 1 per channel where it gave these; pictures stay."""
    mean, deviation = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    count = len(mean)
    encoding, decoding = vae.quant_conv, vae.post_quant_conv
    encoding.weight[:count] /= deviation[:, None, None, None]
    encoding.bias[:count] = (encoding.bias[:count] - mean) / deviation
    encoding.bias[count:] -= 2 * deviation.log()  # the second half is the logarithm of a variance
    decoding.bias += decoding.weight[:, :, 0, 0] @ mean
    decoding.weight *= deviation[None, :, None, None]


def load_vae(out: Path) -> Any:
    """The VAE of the training in `out`, frozen."""
    vae = build_vae()
    state = torch.load(out / "zimage_vae_state.pt", map_location="cpu", weights_only=True)
    vae.load_state_dict(state["vae"])
    return vae.eval().requires_grad_(False)


def _any_picture(rng: random.Random) -> VariedEmoji:
    """Any picture whatever, in any style."""
    return VariedEmoji(spec=random_spec(rng), told=(), seed=rng.getrandbits(62))
