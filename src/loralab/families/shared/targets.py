"""From `adapter.targets` to a regular expression on module names."""

from __future__ import annotations

import re
from collections.abc import Mapping

from loralab.errors import UserError


def pattern_for(targets: str, named: Mapping[str, str]) -> str:
    """Gives the family's pattern behind a name, or `targets` itself where it is a valid regex."""
    if targets in named:
        return named[targets]
    try:
        re.compile(targets)
    except re.error as error:
        raise UserError(
            f"adapter.targets={targets!r} is none of {', '.join(named)} and not a valid regular expression ({error})."
            " Use one of the names, or an expression that matches whole module names."
        ) from error
    return targets
