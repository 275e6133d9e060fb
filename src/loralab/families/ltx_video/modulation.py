"""How audio and video attend to each other: the vendor's rule, put into diffusers' transformer.

Before and after the attention between the modalities each of them is modulated (ltx_core/model/transformer/
transformer_args.py in Lightricks/LTX-2, since 2026-05-28):

    scale, shift    from the token's own timestep
    gate            from the other modality's sigma

diffusers 0.42.1 takes the other modality's sigma for all three (`use_cross_timestep=True`), or its own timestep for all
three (`False`). The three agree only where both modalities have one sigma and no token is given: not with a first
frame, references, a frozen modality or sigmas of their own. Only what the two scale-and-shift layers are told differs;
it is exchanged before it reaches them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

SCALE_SHIFT = {"video": "av_cross_attn_video_scale_shift", "audio": "av_cross_attn_audio_scale_shift"}
"""The layer of each modality whose timestep is exchanged; that of its gate is right."""


@contextlib.contextmanager
def own_timesteps(transformer: nn.Module) -> Iterator[None]:
    """Lets diffusers' transformer modulate as the vendor's inside the block.

    Args:
        transformer: a `LTX2VideoTransformer3DModel`, called by keyword and with `use_cross_timestep=True`, as
            diffusers' pipelines do.
    """
    told: dict[str, Tensor] = {}

    def remember(_: nn.Module, args: tuple[Any, ...], given: Mapping[str, Any]) -> None:
        audio = given.get("audio_timestep")
        told.update(video=given["timestep"], audio=given["timestep"] if audio is None else audio)

    def telling(modality: str) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...]]:
        return lambda _, args: (told[modality].flatten(), *args[1:])

    hooks = [transformer.register_forward_pre_hook(remember, with_kwargs=True)]
    for modality, layer in SCALE_SHIFT.items():
        hooks.append(transformer.get_submodule(layer).register_forward_pre_hook(telling(modality)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
