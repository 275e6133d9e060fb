"""Keeps libraries from talking over the run: what they print while loading says nothing that a user can act on."""

from __future__ import annotations

import logging


def quiet_libraries() -> None:
    """Silences the loading bars of transformers and diffusers and bitsandbytes' remarks about optional kernels."""
    import diffusers.utils.logging
    import transformers.utils.logging

    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    diffusers.utils.logging.disable_progress_bar()
