"""Keeps secrets out of what loggers store of a configuration."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "(hidden)"
SECRET_NAME = re.compile(r"(^|_)(api_?key|token|secret|password|passwd|credentials?)$", re.IGNORECASE)
CREDENTIALS_IN_URL = re.compile(r"(\w+://)[^/\s@]+@")
SHORTEST_SECRET = 8


def redacted(config: Any) -> Any:
    """Gives the same containers and values with texts hidden that are secret by name, by environment or in a URL."""
    return _redacted(config, secrets=_environment_secrets())


def _redacted(value: Any, *, secrets: frozenset[str]) -> Any:
    if isinstance(value, Mapping):
        return {
            key: HIDDEN
            if isinstance(inner, str) and SECRET_NAME.search(str(key))
            else _redacted(inner, secrets=secrets)
            for key, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_redacted(inner, secrets=secrets) for inner in value]
    if isinstance(value, str):
        return (
            HIDDEN
            if any(secret in value for secret in secrets)
            else CREDENTIALS_IN_URL.sub(rf"\1{HIDDEN}@", value)
        )
    return value


def _environment_secrets() -> frozenset[str]:
    """Gives the values of environment variables that are secret by name (HF_TOKEN, WANDB_API_KEY and the like)."""
    named = (value for name, value in os.environ.items() if SECRET_NAME.search(name))
    return frozenset(value for value in named if len(value) >= SHORTEST_SECRET)
