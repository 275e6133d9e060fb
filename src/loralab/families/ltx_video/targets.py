"""Which linear layers of LTX-Video's transformer an adapter goes on, and which of them would learn nothing.

What the vendor's trainer takes by default (its configs in Lightricks/LTX-2, packages/ltx-trainer):

    attention              text or image to video with sound, video with given sound, extension
    video_attention_mlp    a control for video (IC-LoRA)
    video_attention        inpainting and outpainting of video without sound
    audio_attention_mlp    text to audio
    audio_from_video       sound for a given video

`cross_attention` is the attention between the modalities alone, `all` every linear layer of the blocks. Gates,
modulation and the layers outside the blocks are never targets of the vendor's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from loralab.errors import UserError

_BLOCK = r"transformer_blocks\.\d+\."
_PROJECTIONS = r"\.to_(?:[qkv]|out\.0)"
_MLP = r"ff\.net\.(?:0\.proj|2)"
_CROSS = r"(?:audio_to_video|video_to_audio)_attn"
_ATTENTION = rf"(?:(?:audio_)?attn[12]|{_CROSS})"

TARGETS = {
    "attention": rf"{_BLOCK}{_ATTENTION}{_PROJECTIONS}",
    "attention_mlp": rf"{_BLOCK}(?:{_ATTENTION}{_PROJECTIONS}|(?:audio_)?{_MLP})",
    "all": rf"{_BLOCK}(?:{_ATTENTION}(?:{_PROJECTIONS}|\.to_gate_logits)|(?:audio_)?{_MLP})",
    "video_attention": rf"{_BLOCK}attn[12]{_PROJECTIONS}",
    "video_attention_mlp": rf"{_BLOCK}(?:attn[12]{_PROJECTIONS}|{_MLP})",
    "audio_attention_mlp": rf"{_BLOCK}audio_(?:attn[12]{_PROJECTIONS}|{_MLP})",
    "audio_from_video": rf"{_BLOCK}(?:audio_(?:attn[12]{_PROJECTIONS}|{_MLP})|video_to_audio_attn{_PROJECTIONS})",
    "cross_attention": rf"{_BLOCK}{_CROSS}{_PROJECTIONS}",
}
WHOLE = ("attention", "attention_mlp", "all")
"""Names that mean the layers of whichever modalities are there."""
_OF_AUDIO = re.compile(r"(?:.*\.)?audio_(?!to_video_).*|av_cross_attn_audio_.*")
_OF_VIDEO = re.compile(r"(?!.*(?:audio|video_to_audio)).*|av_cross_attn_video_.*")
_BETWEEN = re.compile(rf".*\.{_CROSS}\..*|av_cross_attn_.*")


def idle_layers(names: Iterable[str], *, has_video: bool, has_audio: bool) -> list[str]:
    """Names the layers that get no gradient: an absent modality's, and those between the modalities."""
    patterns = _idle(has_video=has_video, has_audio=has_audio)
    return [name for name in names if any(pattern.fullmatch(name) for pattern in patterns)]


def adapts_audio(keys: Iterable[str]) -> bool:
    """Says of an adapter file's keys, in any tool's names, whether one is of a layer that video alone has not."""
    return any("audio" in key or "av_c" in key for key in keys)


def used_pattern(pattern: str, targets: str, *, has_video: bool, has_audio: bool) -> str:
    """Leaves idle layers out of a pattern, if `targets` is a name for layers of both modalities."""
    if targets not in WHOLE:
        return pattern
    idle = _idle(has_video=has_video, has_audio=has_audio)
    return "".join(rf"(?!(?:{other.pattern})\Z)" for other in idle) + f"(?:{pattern})"


def _idle(*, has_video: bool, has_audio: bool) -> list[re.Pattern[str]]:
    patterns = [
        pattern for pattern, present in ((_OF_VIDEO, has_video), (_OF_AUDIO, has_audio)) if not present
    ]
    return [*patterns, _BETWEEN] if patterns else []


def require_no_idle_layers(names: Iterable[str], targets: str, *, has_video: bool, has_audio: bool) -> None:
    """Refuses targets of which a part would be exported as it was drawn.

    Args:
        names: the layers that the adapter is on.
        targets: what was typed to choose them.
        has_video: whether video is given to the network, generated or frozen.
        has_audio: whether audio is.

    Raises:
        UserError: if any of the layers is never used.
    """
    names = list(names)
    if not (idle := idle_layers(names, has_video=has_video, has_audio=has_audio)):
        return
    absent, way_out = ("audio", "video_attention_mlp") if has_video else ("video", "audio_attention_mlp")
    raise UserError(
        f"adapter.targets={targets} would adapt {len(idle)} of {len(names)} layers that learn nothing, since {absent} "
        f"is absent, for example {idle[0]}. Set adapter.targets={way_out}, or give {absent}."
    )
