"""LTX-2.3's forward pass written out from the vendor's equations, on a state dict with diffusers' names.

Nothing of diffusers or loralab is called. Times are sigmas, for each token; each modality's scale and shift towards the
other are told its own sigmas, its gate the other's, as ltx_core does (transformer_args.py, `cross_scale_shift_timestep`
and `cross_gate_timestep`). Everything is in the precision of the inputs: give float64 for a yardstick.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

HEADS, EPS, THETA = 2, 1e-6, 10_000.0
EXTENT = {3: (20.0, 2048.0, 2048.0), 1: (20.0,)}
"""Seconds and pixels that are position 1 of each axis."""


@dataclass(frozen=True)
class Given:
    """One modality: tokens [b, n, c], sigma of each token [b, n] and of the sample [b], bounds, prompt embeddings."""

    tokens: Tensor
    token_sigma: Tensor
    sigma: Tensor
    bounds: Tensor
    prompt: Tensor


class Oracle:
    def __init__(self, weights: dict[str, Tensor], *, widths: tuple[int, int], num_layers: int) -> None:
        self.w, self.widths, self.num_layers = weights, widths, num_layers

    def __call__(self, video: Given, audio: Given) -> tuple[Tensor, Tensor]:
        given, prefix, other = (video, audio), ("", "audio_"), (audio, video)
        x = [self.linear(f"{p}proj_in", g.tokens) for p, g in zip(prefix, given, strict=True)]
        main = [self.adaln(f"{p}time_embed", g.token_sigma) for p, g in zip(prefix, given, strict=True)]
        text = [
            self.adaln(f"{p}prompt_adaln", g.sigma[:, None])[0] for p, g in zip(prefix, given, strict=True)
        ]
        scale_shift = [
            self.adaln(f"av_cross_attn_{name}_scale_shift", g.token_sigma)[0]
            for name, g in zip(("video", "audio"), given, strict=True)
        ]
        gate = [
            self.adaln(f"av_cross_attn_{name}_gate", g.sigma[:, None])[0]
            for name, g in zip(("video_a2v", "audio_v2a"), other, strict=True)
        ]
        rope = [self.rope(g.bounds, width) for g, width in zip(given, self.widths, strict=True)]
        cross = [self.rope(g.bounds[:, :1], self.widths[1]) for g in given]

        for layer in range(self.num_layers):
            at = f"transformer_blocks.{layer}."
            for m, p in enumerate(prefix):
                shift, scale, gain, *_ = self.table(f"{at}{p}scale_shift_table", main[m][0])
                inside = self.attention(
                    f"{at}{p}attn1", norm(x[m]) * (1 + scale) + shift, None, rope[m], rope[m]
                )
                x[m] = x[m] + gain * inside
                *_, shift, scale, gain = self.table(f"{at}{p}scale_shift_table", main[m][0])
                text_shift, text_scale = self.table(f"{at}{p}prompt_scale_shift_table", text[m])
                prompt = given[m].prompt * (1 + text_scale) + text_shift
                x[m] = x[m] + gain * self.attention(f"{at}{p}attn2", norm(x[m]) * (1 + scale) + shift, prompt)
            seen, heard = norm(x[0]), norm(x[1])
            v, a = (
                [*self.table(f"{at}{name}_a2v_cross_attn_scale_shift_table", s, rows=slice(0, 4)),
                 *self.table(f"{at}{name}_a2v_cross_attn_scale_shift_table", g, rows=slice(4, 5))]
                for name, s, g in zip(("video", "audio"), scale_shift, gate, strict=True)
            )  # fmt: skip
            x[0] = x[0] + v[4] * self.attention(
                f"{at}audio_to_video_attn", seen * (1 + v[0]) + v[1], heard * (1 + a[0]) + a[1], *cross
            )
            x[1] = x[1] + a[4] * self.attention(
                f"{at}video_to_audio_attn", heard * (1 + a[2]) + a[3], seen * (1 + v[2]) + v[3], *cross[::-1]
            )
            for m, p in enumerate(prefix):
                _, _, _, shift, scale, gain, *_ = self.table(f"{at}{p}scale_shift_table", main[m][0])
                hidden = self.linear(f"{at}{p}ff.net.0.proj", norm(x[m]) * (1 + scale) + shift)
                x[m] = x[m] + gain * self.linear(f"{at}{p}ff.net.2", F.gelu(hidden, approximate="tanh"))

        answers = []
        for m, p in enumerate(prefix):
            shift, scale = (row + main[m][1] for row in self.w[f"{p}scale_shift_table"])
            centred = F.layer_norm(x[m], x[m].shape[-1:], eps=EPS)
            answers.append(self.linear(f"{p}proj_out", centred * (1 + scale) + shift))
        return answers[0], answers[1]

    def linear(self, name: str, x: Tensor) -> Tensor:
        return x @ self.w[f"{name}.weight"].T + self.w[f"{name}.bias"]

    def adaln(self, name: str, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Modulation [b, n, k d] and embedding [b, n, d] of sigmas [b, n]: 256 sinusoids, cosines first."""
        frequencies = torch.exp(-math.log(10_000) * torch.arange(128, dtype=sigma.dtype) / 128)
        angles = 1000 * sigma[..., None] * frequencies
        waves = torch.cat([angles.cos(), angles.sin()], dim=-1)
        embedder = f"{name}.emb.timestep_embedder.linear"
        embedding = self.linear(f"{embedder}_2", F.silu(self.linear(f"{embedder}_1", waves)))
        return self.linear(f"{name}.linear", F.silu(embedding)), embedding

    def table(self, name: str, modulation: Tensor, *, rows: slice = slice(None)) -> list[Tensor]:
        """The rows of a block's table, each with its part [b, n, d] of the modulation added."""
        table = self.w[name][rows]
        parts = modulation.unflatten(-1, (len(table), -1)).unbind(2)
        return [row + part for row, part in zip(table, parts, strict=True)]

    def rope(self, bounds: Tensor, width: int) -> tuple[Tensor, Tensor]:
        """Cosine and sine [b, heads, n, width / 2 / heads] of a token's middle; the first few are padding."""
        axes = bounds.shape[1]
        middle = bounds.mean(-1) / torch.tensor(EXTENT[axes], dtype=bounds.dtype)[:, None]
        powers = torch.linspace(0, 1, width // (2 * axes), dtype=torch.float64)
        frequencies = (THETA**powers * math.pi / 2).float().to(bounds.dtype)
        angles = (2 * middle.transpose(1, 2) - 1)[:, :, None, :] * frequencies[:, None]
        angles = F.pad(angles.flatten(2), (width // 2 - axes * len(frequencies), 0))
        split = angles.unflatten(-1, (HEADS, -1)).transpose(1, 2)
        return split.cos(), split.sin()

    def attention(self, name, x, context=None, query_rope=None, key_rope=None) -> Tensor:
        context = x if context is None else context
        query = norm(self.linear(f"{name}.to_q", x)) * self.w[f"{name}.norm_q.weight"]
        key = norm(self.linear(f"{name}.to_k", context)) * self.w[f"{name}.norm_k.weight"]
        query, key, value = (
            part.unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for part in (query, key, self.linear(f"{name}.to_v", context))
        )
        if query_rope is not None:
            query, key = turned(query, *query_rope), turned(key, *key_rope)
        weights = (query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])).softmax(-1)
        gates = 2 * self.linear(f"{name}.to_gate_logits", x).sigmoid()
        joined = (weights @ value).transpose(1, 2) * gates[..., None]
        return self.linear(f"{name}.to_out.0", joined.flatten(2))


def norm(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS)


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
