"""LTX-Video's transformer as it is loaded and quantised, and all its networks without weights for the planner."""

from __future__ import annotations

import functools
from typing import Any

from torch import nn

from loralab.families.ltx_video.attention import use_processors
from loralab.families.ltx_video.encoders.loading import empty_gemma, load_audio_vae, load_vae, load_vocoder
from loralab.families.ltx_video.encoders.text import MAX_LENGTH, TextEncoder, load_text_encoder
from loralab.families.ltx_video.guards import require_checkpoint_base, require_undistilled
from loralab.families.ltx_video.targets import TARGETS
from loralab.families.ltx_video.video_only import without_sound
from loralab.families.shared import components
from loralab.families.shared.checkpoint import Checkpoint, weight_files
from loralab.families.shared.components import diffusers_class
from loralab.families.shared.prompts import QUANTIZED as GEMMA_QUANTIZED
from loralab.memory import Placement
from loralab.memory.loading import empty, tensors_of
from loralab.memory.plan import Blueprint

TRANSFORMER = "LTX2VideoTransformer3DModel"
QUANTIZED = TARGETS["attention_mlp"]
"""Linear layers that are quantised where weights are: attention and feed-forward of both streams. The vendor's trainer
leaves modulation, embedders and the last layers out as well; gates are small."""
STREAMS = {
    "vector": r".*(?:time_embed|prompt_adaln|av_cross_attn_).*",
    "prompt": r".*\.(?:audio_)?attn2\.to_[kv]",
    "audio": r"(?:.*\.)?audio_(?!to_video_).*|.*\.audio_to_video_attn\.to_[kv]"
    r"|.*\.video_to_audio_attn\.(?:to_q|to_out\.0|to_gate_logits)",
    "picture": r".*",
}
"""Who passes through a layer, the first that matches: the attention between the modalities takes keys and values of the
other one."""

load_transformer = functools.partial(
    components.load_transformer,
    class_name=TRANSFORMER,
    quantized=QUANTIZED,
    prepare=use_processors,
)


def load_video_transformer(checkpoint: Checkpoint, placement: Placement) -> nn.Module:
    """Gives what of the transformer is needed where sound is absent; the rest is never read."""
    folder = checkpoint.weights("transformer")
    whole = _without_weights(checkpoint, "transformer", TRANSFORMER)
    video = without_sound(whole)
    unused = {name for name, _ in whole.named_parameters()} - {name for name, _ in video.named_parameters()}
    tensors = tensors_of(weight_files(folder), skipped=unused)
    network = use_processors(placement.filled(lambda: video, tensors, quantized=QUANTIZED))
    placement.apply(network)
    return network


LOADERS: dict[Any, components.Loader] = {
    "transformer": load_transformer,
    "text_encoder": load_text_encoder,
    "vae": load_vae,
    "audio_vae": load_audio_vae,
    "vocoder": load_vocoder,
}


def require_fitting(checkpoint: Checkpoint, *, model: str, variant: str) -> None:
    """Refuses checkpoints of other versions, and distilled ones under a base's name; reads configs only.

    Raises:
        UserError: with the way out.
    """
    require_checkpoint_base(checkpoint.location, checkpoint.config("transformer"), model=model)
    if variant == "base":
        require_undistilled(checkpoint.location, checkpoint.config("scheduler"), model=model)


def blueprint(
    checkpoint: Checkpoint, *, prompt_tokens: int = MAX_LENGTH, has_audio: bool = True
) -> Blueprint:
    """Gives a checkpoint's networks without reading a weight; prompts are always padded to their full length."""
    vae_config = checkpoint.config("vae")
    transformer: Any = _without_weights(checkpoint, "transformer", TRANSFORMER)
    transformer = transformer if has_audio else without_sound(transformer)
    return Blueprint(
        family="ltx_video",
        transformer=transformer,
        text_encoder=TextEncoder(empty_gemma(checkpoint), _empty_connectors(checkpoint)),
        vae=_without_weights(checkpoint, "vae", "AutoencoderKLLTX2Video"),
        quantized=QUANTIZED,
        encoder_quantized=rf"gemma\.{GEMMA_QUANTIZED}",
        dim=transformer.config.num_attention_heads * transformer.config.attention_head_dim,
        num_heads=transformer.config.num_attention_heads,
        prompt_tokens=prompt_tokens,
        longest_prompt=prompt_tokens,
        # Its levels begin at patches of pixels: so many channels come to one pixel.
        vae_channels=tuple(
            -(-channels // vae_config["patch_size"] ** 2) for channels in vae_config["block_out_channels"]
        ),
        streams=STREAMS,
    )


def _without_weights(checkpoint: Checkpoint, component: Any, class_name: str) -> Any:
    network_class = diffusers_class(checkpoint, component, class_name)
    return empty(lambda: network_class.from_config(checkpoint.config(component)))


def _empty_connectors(checkpoint: Checkpoint) -> Any:
    from diffusers.pipelines.ltx2 import LTX2TextConnectors

    return empty(lambda: LTX2TextConnectors.from_config(checkpoint.config("connectors")))
