"""Encoders that are easy to check by hand: latents are block averages, prompt embeddings are the prompt's bytes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from loralab.data.cache import digest


class PoolingEncoders:
    """Averages 8x8 pixels; writes down what it was asked."""

    size_multiple = 16

    def __init__(self, *, text: str = "text-1", pixels: str = "pixels-1") -> None:
        self._text, self._pixels = text, pixels
        self.prompts_seen: list[str] = []
        self.batches_seen: list[tuple[int, ...]] = []
        self.calls: list[str] = []

    def prompt_fingerprint(self) -> str:
        return digest(self._text)

    def pixel_fingerprint(self) -> str:
        return digest(self._pixels)

    def encode_prompts(self, prompts: Sequence[str]) -> list[Tensor]:
        self.prompts_seen += prompts
        self.calls.append("prompts")
        return [
            torch.tensor([[float(byte), 1.0] for byte in b"^" + prompt.encode()]).bfloat16()
            for prompt in prompts
        ]

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        self.batches_seen.append(tuple(pixels.shape))
        self.calls.append("pixels")
        return torch.nn.functional.avg_pool2d(pixels, 8)

    def latents_shape(self, *, height: int, width: int) -> tuple[int, int, int]:
        return 3, height // 8, width // 8

    def release(self, component: str) -> None:
        self.calls.append(f"release {component}")
