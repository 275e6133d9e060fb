"""Which trials can train beside each other on one base, and why others cannot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf

OWN = (
    "ablation", "adapter", "batch_size", "ema_decay", "hydra", "logger", "name", "optimizer", "run", "safety",
    "schedule", "seed", "steps", "study", "sweep", "trial", "watch",
)  # fmt: skip
"""What each trial has for itself, and the watch, which no packed trial has; the rest is base, data or objective."""
PACKED = "loralab.objectives.FlowMatching"
"""The objective whose step asks the network once."""
ACTING = ("lower_lr", "rollback", "stop")
MEMORY = "peak_memory_gib"


def unpackable(config: DictConfig) -> str | None:
    """Says why a run must have a process of its own; None where it need not."""
    return next(_obstacles(config), None)


def differing(config: DictConfig, other: DictConfig) -> str | None:
    """Names the first setting that two runs on one base must share and do not."""
    one, two = _shared(config), _shared(other)
    keys = [key for key in {**one, **two} if one.get(key) != two.get(key)]
    return f"{keys[0]}={one.get(keys[0])} differs from the pack's {two.get(keys[0])}" if keys else None


def _obstacles(config: DictConfig) -> Iterator[str]:
    if config.objective._target_ != PACKED:
        yield f"objective._target_={config.objective._target_}: only flow_matching is packed"
    if config.model.variant == "distilled" and config.watch.every > 0:
        yield f"model={config.model.name} is watched (watch.every={config.watch.every}), by the whole network"
    for name in ("previews", "style", "fewstep"):
        if config.evaluation.get(name) is not None:
            yield f"evaluation.{name} draws with the whole network; evaluation=none is packed"
    if config.sentinel.action in ACTING:
        yield f"sentinel.action={config.sentinel.action} looks at the whole network; a pack has no sentinel"
    if config.adapter.use_dora:
        yield "adapter=dora learns the length of whole rows, which is no low-rank product"
    if config.trainer.devices != 1:
        yield f"trainer.devices={config.trainer.devices}: a pack is on one device"
    if MEMORY in (config.study.constraints or {}):
        yield f"study.constraints.{MEMORY}: a pack's memory is that of all its trials"


def _shared(config: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    kept: dict[str, Any] = {str(key): value for key, value in plain.items() if key not in OWN}
    kept["model"] = {key: value for key, value in kept["model"].items() if key != "recipe"}
    kept["trainer"] = {key: value for key, value in kept["trainer"].items() if key != "gradient_clip_val"}
    return _flat(kept)


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict) and value:
        return {k: v for key, inner in value.items() for k, v in _flat(inner, f"{prefix}{key}.").items()}
    return {prefix[:-1]: value}
