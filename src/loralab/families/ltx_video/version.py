"""Which LTX-2 a file belongs to: 2.0 (19B), 2.3 (22B) and 2.5 have layers of the same shapes and other weights.

An adapter on attention and feed-forward layers, which is what every tool trains, loads into any of them and spoils the
picture. What a file says or shows, from the surest to the least:

    header      base_model_version, model_version, modelspec.architecture, ss_base_model_version
    keys        layers that only some versions have, or that differ in size there
    file name   ltx-2.3-..., ltx-2-19b-..., ...-22b-...; probable, not sure

2.5's layers cannot be told from 2.3's by names or shapes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

VERSIONS = ("2.0", "2.3", "2.5")
NEWER = frozenset({"2.3", "2.5"})
OLDER = frozenset({"2.0"})
HEADER_KEYS = ("base_model_version", "model_version", "modelspec.architecture", "ss_base_model_version")
SIZES = {"19b": "2.0", "22b": "2.3"}

_ONLY_NEWER = (
    "to_gate_logits prompt_adaln prompt_scale_shift_table video_aggregate_embed audio_aggregate_embed".split()
)
_ONLY_OLDER = re.compile(r"caption_projection|text_embedding_projection[._]aggregate_embed")
_MODULATION = re.compile(
    r"(?:^|.*[._])(?:adaln_single|time_embed)[._]linear\.(?:lora_B|lora_up|lora\.up)\b.*"
)
_MODULATION_ROWS = {24576: OLDER, 12288: OLDER, 36864: NEWER, 18432: NEWER}
"""Six or nine rows of 4096 for video, of 2048 for audio."""
_CONNECTOR = re.compile(
    r".*(?:video|audio)_(?:embeddings_)?connector[._].*?blocks[._](?P<block>\d+)[._](?P<rest>.*)"
)
_CONNECTOR_WIDTHS = {3840: OLDER, 4096: NEWER, 2048: NEWER}


@dataclass(frozen=True)
class Base:
    """What a file can belong to.

    Attributes:
        versions: those that nothing in the file speaks against.
        reason: what spoke, for messages.
        sure: whether that is more than the file's name.
    """

    versions: frozenset[str]
    reason: str
    sure: bool = True


def adapter_base(
    header: Mapping[str, str], shapes: Mapping[str, Sequence[int]], *, file_name: str = ""
) -> Base:
    """Says which versions an adapter file can belong to.

    Args:
        header: the text entries of its safetensors header.
        shapes: its tensors' shapes by key, in any tool's names.
        file_name: its name, or that of the repository it is from.
    """
    for key in HEADER_KEYS:
        if version := _version_in(header.get(key, "")):
            return Base(frozenset({version}), f"its header says {key}={header[key]}")
    shown = next(_shown(shapes), Base(frozenset(VERSIONS), "it adapts layers that all versions have"))
    named = _version_in(file_name, needs_name=True)
    if named and (named in shown.versions or shown.versions == set(VERSIONS)) and len(shown.versions) > 1:
        return Base(frozenset({named}), f"its name is {file_name}", sure=False)
    return shown


def checkpoint_base(config: Mapping[str, Any]) -> str:
    """Says which version a diffusers transformer is of, by its config."""
    if config.get("use_keyframes_abs_pos_embedding") or not config.get("ff_bias", True):
        return "2.5"
    return "2.3" if config.get("gated_attn") and config.get("cross_attn_mod") else "2.0"


def _shown(shapes: Mapping[str, Sequence[int]]) -> Iterator[Base]:
    """Yields what each telling key shows."""
    for key, shape in shapes.items():
        if any(mark in key for mark in _ONLY_NEWER):
            yield Base(NEWER, f"LTX-2.0 has no layer like its {key}")
        elif _ONLY_OLDER.search(key):
            yield Base(OLDER, f"only LTX-2.0 has a layer like its {key}")
        elif _MODULATION.fullmatch(key) and (versions := _MODULATION_ROWS.get(shape[0])):
            yield Base(versions, f"its {key} has {shape[0]} rows")
        elif found := _CONNECTOR.fullmatch(key):
            if int(found["block"]) >= 2:
                yield Base(NEWER, f"the connectors of LTX-2.0 have no block like its {key}")
            elif re.match(r"attn1[._]to_q\.(lora_A|lora_down|lora\.down)", found["rest"]) and (
                versions := _CONNECTOR_WIDTHS.get(shape[1])
            ):
                yield Base(versions, f"its {key} is {shape[1]} wide")


def _version_in(text: str, *, needs_name: bool = False) -> str | None:
    """Finds a version, or a size that only one version has; `needs_name` wants `ltx` before the version.

    A name such as my_style_v2.3 says which of its maker's versions it is.
    """
    text = text.lower()
    before = r"ltx\D{0,8}" if needs_name else r"(?<![\d.])"
    if found := re.search(rf"{before}(2\.\d+)", text):
        return found[1]
    size = re.search(r"(?<![a-z\d])(19b|22b)(?![a-z\d])", text)
    return SIZES[size[1]] if size else None
