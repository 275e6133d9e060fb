"""Pictures as a pretrained network sees them: maps to compare two pictures, vectors to compare two sets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from loralab.evaluation.network import EfficientNetLite0, load_network


@dataclass(frozen=True)
class Features:
    """A batch of pictures in features.

    Attributes:
        maps: one tensor for each of five resolutions, every place a unit vector over channels.
        pooled: the network's 1,280 averaged features.
    """

    maps: tuple[Float[Tensor, " b _ _ _"], ...]
    pooled: Float[Tensor, " b 1280"]


class FeatureNet:
    """Extracts features at one working size, so that pictures of any size compare alike.

    The default keeps 64-pixel pictures as readable to a network trained at 224 as 224 does (ImageNet classes
    of emoji), at half the cost.
    """

    def __init__(self, *, side: int = 160, batch_size: int = 16, device: torch.device | str = "cpu") -> None:
        """Loads the network onto `device`; features come back on the CPU."""
        self.side, self.batch_size, self.device = side, batch_size, torch.device(device)
        self.network: EfficientNetLite0 = load_network().to(self.device)

    def batches(self, pixels: Float[Tensor, " b 3 height width"]) -> Iterator[Features]:
        """Yields features of pixels in [-1, 1] a batch at a time: maps of all would fill the memory."""
        for part in pixels.split(self.batch_size):
            yield self._features(part)

    def pooled(self, pixels: Float[Tensor, " b 3 height width"]) -> Float[Tensor, " b 1280"]:
        """Gives the pooled features of all pictures."""
        return torch.cat([features.pooled for features in self.batches(pixels)])

    @torch.inference_mode()
    def _features(self, pixels: Float[Tensor, " b 3 height width"]) -> Features:
        size = (self.side, self.side)
        resized = functional.interpolate(pixels.to(self.device), size, mode="bicubic", antialias=True).clamp(
            -1, 1
        )
        maps, pooled = self.network((127.5 * (resized + 1) - 127) / 128)
        unit = tuple(functional.normalize(each, dim=1).cpu() for each in maps)
        return Features(maps=unit, pooled=pooled.cpu())
