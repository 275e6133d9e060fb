"""The two families' real transformers, tiny, built in memory, and one velocity of each to compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from tests.tiny import klein_transformer, zimage_transformer
from torch import Tensor, nn

from loralab.adapter import AdapterMetadata, LoraSpec, inject
from loralab.adapter.lora import named_tensors
from loralab.families.flux2_klein import Flux2Klein
from loralab.families.flux2_klein.components import TARGETS as KLEIN_TARGETS
from loralab.families.z_image import ZImage
from loralab.families.z_image.components import TARGETS as ZIMAGE_TARGETS

METADATA = AdapterMetadata(
    family="flux2_klein",
    model="flux2_klein4b",
    checkpoint="somebody/some-model",
    base_digest="0" * 64,
    objective="flow_matching",
    rank=4,
    alpha=2.0,
    targets="attention_mlp",
    step=7,
    config_digest="f" * 64,
    trigger="prägen",
)


@dataclass(frozen=True)
class Twin:
    """One family, tiny: `velocity` is what its network answers to a fixed input, whatever the convention."""

    name: str
    make: Callable[[], nn.Module]
    answer: Callable[[Any], Tensor]
    targets: Mapping[str, str]
    foreign_names: Any
    pipeline: str
    fused: Mapping[str, str]
    original: Mapping[str, str]

    def base(self, dtype: torch.dtype = torch.float32) -> nn.Module:
        torch.manual_seed(0)
        transformer = self.make().eval()
        return transformer if dtype == torch.float32 else transformer.to(dtype)

    @torch.no_grad()
    def velocity(self, transformer: nn.Module) -> Tensor:
        return self.answer(transformer)

    def trained(self, *, seed: int = 1, **spec: Any) -> nn.Module:
        """A transformer with an adapter of alpha unequal to rank whose tensors are all random."""
        transformer = self.base()
        made = LoraSpec(**{"rank": 4, "alpha": 2.0, "targets": "attention_mlp", **spec})
        inject(transformer, made, pattern=self.targets[made.targets])
        randomise(transformer, seed=seed)
        return transformer


def randomise(transformer: nn.Module, *, seed: int = 1) -> None:
    """Gives A and B normal entries and DoRA's row lengths other factors, so that no test passes on zeros."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in named_tensors(transformer).values():
            if tensor.ndim == 2:
                tensor.normal_(0, 0.3, generator=generator)
            else:
                tensor.mul_(torch.rand(tensor.shape, generator=generator) + 0.5)


def load_with_diffusers(twin: Twin, path: Any) -> nn.Module:
    """Loads an adapter file as users of diffusers do, through the pipeline's own method, without other components."""
    import diffusers

    transformer: Any = twin.base()
    names = ("scheduler", "vae", "text_encoder", "tokenizer")
    pipeline = getattr(diffusers, twin.pipeline)(**dict.fromkeys(names), transformer=transformer)
    pipeline.load_lora_weights(str(path), adapter_name="theirs")
    return transformer


def klein_answer(transformer: Any) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    image_ids, text_ids = torch.zeros(2, 16, 4), torch.zeros(2, 5, 4)
    image_ids[..., 1], image_ids[..., 2] = torch.arange(16) // 4, torch.arange(16) % 4
    text_ids[..., 3] = torch.arange(5)
    return transformer(
        hidden_states=torch.randn(2, 16, 16, generator=generator).to(transformer.dtype),
        encoder_hidden_states=torch.randn(2, 5, 48, generator=generator).to(transformer.dtype),
        timestep=torch.tensor([0.3, 0.8]),
        guidance=None,
        img_ids=image_ids,
        txt_ids=text_ids,
        return_dict=False,
    )[0]


def zimage_answer(transformer: Any) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    noisy = [torch.randn(16, 1, 8, 8, generator=generator).to(transformer.dtype) for _ in range(2)]
    captions = [torch.randn(length, 16, generator=generator).to(transformer.dtype) for length in (7, 5)]
    return torch.stack(transformer(noisy, torch.tensor([0.3, 0.8]), captions, return_dict=False)[0])


KLEIN = Twin(
    name="flux2_klein",
    make=klein_transformer,
    answer=klein_answer,
    targets=KLEIN_TARGETS,
    foreign_names=Flux2Klein.foreign_names,
    pipeline="Flux2KleinPipeline",
    fused={
        r"transformer_blocks\.(\d+)\.attn\.to_[qkv]": r"double_blocks.\1.img_attn.qkv",
        r"transformer_blocks\.(\d+)\.attn\.add_[qkv]_proj": r"double_blocks.\1.txt_attn.qkv",
    },
    original={
        r"transformer_blocks\.(\d+)\.attn\.to_out\.0": r"double_blocks.\1.img_attn.proj",
        r"transformer_blocks\.(\d+)\.attn\.to_add_out": r"double_blocks.\1.txt_attn.proj",
        r"transformer_blocks\.(\d+)\.ff\.linear_in": r"double_blocks.\1.img_mlp.0",
        r"transformer_blocks\.(\d+)\.ff\.linear_out": r"double_blocks.\1.img_mlp.2",
        r"transformer_blocks\.(\d+)\.ff_context\.linear_in": r"double_blocks.\1.txt_mlp.0",
        r"transformer_blocks\.(\d+)\.ff_context\.linear_out": r"double_blocks.\1.txt_mlp.2",
        r"single_transformer_blocks\.(\d+)\.attn\.to_qkv_mlp_proj": r"single_blocks.\1.linear1",
        r"single_transformer_blocks\.(\d+)\.attn\.to_out": r"single_blocks.\1.linear2",
    },
)
ZIMAGE = Twin(
    name="z_image",
    make=zimage_transformer,
    answer=zimage_answer,
    targets=ZIMAGE_TARGETS,
    foreign_names=ZImage.foreign_names,
    pipeline="ZImagePipeline",
    fused={r"(\w+)\.(\d+)\.attention\.to_[qkv]": r"\1.\2.attention.qkv"},
    original={
        r"(\w+)\.(\d+)\.attention\.to_out\.0": r"\1.\2.attention.out",
        r"(\w+)\.(\d+)\.feed_forward\.(w\d)": r"\1.\2.feed_forward.\3",
    },
)
