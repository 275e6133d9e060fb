"""What must not be brought together with LTX-Video 2.3, since it would run and be wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from loralab.errors import UserError
from loralab.families.ltx_video.version import Base, adapter_base, checkpoint_base

OURS = "2.3"
"""The version that this family is for."""


def require_adapter_file(
    path: str,
    header: Mapping[str, str],
    shapes: Mapping[str, Sequence[int]],
    *,
    assume_base: str | float | None = None,
) -> None:
    """Refuses an adapter file by what its header, its tensors and its name say, as `require_adapter_base` does."""
    base = adapter_base(header, shapes, file_name=Path(path).name)
    require_adapter_base(path, base, assume_base=assume_base)


def require_adapter_base(path: str, base: Base, *, assume_base: str | float | None = None) -> None:
    """Refuses an adapter of another version, and one of which nobody knows.

    Args:
        path: the adapter file, as typed.
        base: what is known of it (`version.adapter_base`).
        assume_base: what the user says it is (`model.assume_base`); counts where the file is not sure itself.

    Raises:
        UserError: if it was trained on another version, or if that is unknown and nothing is assumed.
    """
    if assume_base is not None and str(assume_base) != OURS:
        raise UserError(
            f"model.assume_base={assume_base}: this model is LTX-{OURS}, and an adapter of anything else spoils what "
            f"it draws. Set model.assume_base={OURS} for an adapter that was trained on it, or null."
        )
    if OURS not in base.versions and (base.sure or assume_base is None):
        raise UserError(
            f"adapter={path} belongs to LTX-{'/'.join(sorted(base.versions))}: {base.reason}. This model is "
            f"LTX-{OURS}, into which it would load without an error and spoil what is drawn. Use it with its own "
            f"model, or retrain it with latents and captions encoded by LTX-{OURS}{_unless(base)}."
        )
    if len(base.versions) > 1 and assume_base is None:
        raise UserError(
            f"adapter={path} does not say which LTX-2 it was trained on, and {base.reason}: it can be of "
            f"{', '.join(sorted(base.versions))}. One of another version would load without an error and spoil what is "
            f"drawn. If you know that it was trained on LTX-{OURS}, set model.assume_base={OURS}; otherwise retrain "
            f"it, with latents and captions encoded by LTX-{OURS}."
        )


def require_checkpoint_base(checkpoint: str, config: Mapping[str, Any], *, model: str) -> None:
    """Refuses a checkpoint of another version by its transformer's config.

    Raises:
        UserError: if it is LTX-2.0 or 2.5.
    """
    if (version := checkpoint_base(config)) != OURS:
        raise UserError(
            f"model.checkpoint={checkpoint} is LTX-{version}, but model={model} is LTX-{OURS}. Name a checkpoint of "
            f"LTX-{OURS}, such as diffusers/LTX-{OURS}-Diffusers; adapters and caches do not carry over."
        )


def require_undistilled(checkpoint: str, scheduler: Mapping[str, Any], *, model: str) -> None:
    """Refuses a distilled checkpoint under a base model's name.

    It has the same layers and would train, but an adapter that regresses velocities on it loses what was distilled;
    the vendor's adapters are trained on the base and used on both. Its name tells it, or its scheduler, which neither
    shifts by size nor ends above 0.

    Raises:
        UserError: if it is distilled.
    """
    is_fixed = not scheduler.get("use_dynamic_shifting", True) and not scheduler.get("shift_terminal")
    if "distilled" in checkpoint.rstrip("/").rsplit("/", 1)[-1].lower() or is_fixed:
        raise UserError(
            f"model.checkpoint={checkpoint} is distilled, but model={model} means a base checkpoint. Train on the "
            f"base and use the adapter on both, or choose model={model}_distilled."
        )


def _unless(base: Base) -> str:
    return "" if base.sure else f", or set model.assume_base={OURS} if you know better"
