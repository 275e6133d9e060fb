"""What `bench/ltx_speed.py` measures: LTX-2.3's transformer of the true shape, or a tiny one of the same class."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.shapes import Case

LTX23: dict[str, Any] = {
    "gated_attn": True,
    "cross_attn_mod": True,
    "audio_gated_attn": True,
    "audio_cross_attn_mod": True,
    "use_prompt_embeddings": False,
    "perturbed_attn": True,
    "rope_type": "split",
}
"""Where the published transformer differs from its class's defaults."""
TINY: dict[str, Any] = {
    "num_attention_heads": 2, "attention_head_dim": 16, "cross_attention_dim": 32, "audio_num_attention_heads": 2,
    "audio_attention_head_dim": 8, "audio_cross_attention_dim": 16, "num_layers": 3,
}  # fmt: skip
TINY_SIZE = "64x64x9"
PROMPT_TOKENS = 1024
"""Of the connectors' outputs: prompts are padded, and every token counts."""
FPS = 24.0
TARGETS = "attention_mlp"


@dataclass(frozen=True)
class ClipCase(Case):
    """One measurement; `resolution` of a picture's case means nothing here.

    Attributes:
        size: width, height and frames of the clip.
        audio: sound is generated as well; else it is absent.
        profiled: also measures how long the card is idle.
        tiny: tiny sizes, on any CPU.
    """

    model: str = "ltx23"
    checkpointing: str = "full"
    rank: int = 32
    size: str = "768x448x89"
    audio: bool = False
    profiled: bool = False
    tiny: bool = False

    @property
    def sizes(self) -> Mapping[str, Any]:
        """What is told to the transformer's class."""
        return {**LTX23, **(TINY if self.tiny else {})}

    @property
    def grid(self) -> Any:
        """Latent frames, rows and columns."""
        from loralab.families.ltx_video.tokens import grid_of

        width, height, frames = map(int, self.size.split("x"))
        return grid_of(width=width, height=height, num_frames=frames)

    @property
    def tokens(self) -> int:
        """Tokens of the video."""
        return int(self.grid.num_tokens)

    @property
    def audio_tokens(self) -> int:
        """Tokens of a sound as long as the clip; what the reference gets for one where it is absent."""
        from loralab.families.ltx_video.encoders.audio import num_latents
        from loralab.families.ltx_video.encoders.mel import LogMel

        seconds = int(self.size.split("x")[2]) / FPS
        return num_latents(round(seconds * LogMel.sample_rate), LogMel()) if self.audio else 1

    @property
    def prompt_tokens(self) -> int:
        """Tokens of a prompt."""
        return 8 if self.tiny else PROMPT_TOKENS

    @property
    def label(self) -> str:
        """Says in a few words what is special about it."""
        said = super().label
        if self.variant == "reference" and self.compile:
            said += ", compiled blocks"
        return said + (f", at most {self.cap_gib:g} GiB" if self.cap_gib else "")

    @property
    def guessed_gib(self) -> float:
        """Guesses high what the case holds while it is made ready."""
        if self.cap_gib:
            return self.cap_gib + 1
        held = 20.0 if self.kind in ("int8", "fp8") else 37.0
        return held + (10 if self.audio else 7) + (6 if self.checkpointing == "selective" else 0)


def write_configs(case: ClipCase, folder: Path) -> None:
    """Writes what the family reads before it predicts: a checkpoint's configs, without a weight."""
    from diffusers import LTX2VideoTransformer3DModel

    from loralab.memory.loading import empty

    network: Any = empty(lambda: LTX2VideoTransformer3DModel(**case.sizes))
    files: dict[str, Any] = {
        "model_index.json": {
            "_class_name": "LTX2Pipeline",
            "transformer": ["diffusers", "LTX2VideoTransformer3DModel"],
            "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        },
        "transformer/config.json": dict(network.config),
        "scheduler/scheduler_config.json": {"use_dynamic_shifting": True, "shift_terminal": 0.1},
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content))


Low: dict[str, Any] = {"low_bit": True}
Reference: dict[str, Any] = {"variant": "reference", "compile": False}
POLICIES: dict[str, dict[str, Any]] = {
    "reference": Reference,
    "int8": {"kind": "int8", **Low},
    "fp8": {"kind": "fp8", **Low},
    "int8_24gib": {
        "kind": "int8", **Low, "offload_activations": True, "offload_blocks": 0.25, "cap_gib": 24.0,
    },
    "int8_selective": {"kind": "int8", **Low, "checkpointing": "selective", "offload_activations": True},
    "bf16": {},
    "reference_compiled": {**Reference, "compile": True},
    "bf16_24gib": {"offload_activations": True, "offload_blocks": 1.0, "cap_gib": 24.0},
}  # fmt: skip
SETS: dict[str, dict[str, Any]] = {
    "video": {},
    "audio": {"audio": True},
    "short": {"size": "960x544x49"},
    "short_audio": {"size": "960x544x49", "audio": True},
}
PROFILED = ("video.reference", "video.int8")
FIRST = (
    *("video.reference", "video.int8", "video.int8_selective", "video.int8_24gib"),
    *("video.fp8", "video.bf16", "video.reference_compiled"),
    *("audio.reference", "audio.int8", "audio.int8_24gib"),
    *("short.reference", "short.int8", "short_audio.reference", "short_audio.int8"),
)
"""Cases in the order of their weight; those that are not named here come last."""


def all_cases(*, tiny: bool = False) -> dict[str, ClipCase]:
    """Gives every case by name, `<set>.<policy>`, in the order in which they are measured."""
    small = {"tiny": True, "size": TINY_SIZE} if tiny else {}
    found = {
        f"{name}.{policy}": ClipCase(
            **{**changes, **POLICIES[policy], **small}, profiled=f"{name}.{policy}" in PROFILED
        )
        for name, changes in SETS.items()
        for policy in POLICIES
    }
    return {name: found[name] for name in (*FIRST, *(name for name in found if name not in FIRST))}
