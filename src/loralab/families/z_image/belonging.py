"""Base or Turbo: whose adapter a file is. All layers have the same shapes in both, so that only words can tell.

    header      modelspec.architecture, ss_sd_model_name and the like, where they say turbo or base
    file name   z_image_turbo_..., zimage-base-...

ai-toolkit (`ss_base_model_version: zimage`) and musubi-tuner (`z_image`, `Z-Image/lora`) name the family alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath

from loralab.adapter.belonging import Belonging, said_of_base

BASE, TURBO = "Z-Image Base", "Z-Image Turbo"
KINDS = {"base": BASE, "distilled": TURBO}
NAME = r"z[-_ ]?image"
WORDS = {
    rf"{NAME}.*turbo|turbo.*{NAME}|\bzit\b": TURBO,
    rf"{NAME}[-_ ]?base|\bbase\b.*{NAME}": BASE,
}


def recognised(header: Mapping[str, str], *, path: str) -> Belonging:
    """Says which of the two a file of another tool can belong to."""
    said = said_of_base(header)
    if kind := _kind_in(said):
        return Belonging(kinds=frozenset({kind}), reason=f"its header says {said}")
    name = PurePath(path).name
    if kind := _kind_in(name.lower()):
        return Belonging(kinds=frozenset({kind}), reason=f"its name is {name}")
    return Belonging(kinds=frozenset(KINDS.values()), reason="both have layers of the same shapes")


def _kind_in(text: str) -> str | None:
    return next((kind for pattern, kind in WORDS.items() if re.search(pattern, text)), None)
