"""`python -m loralab report`: a run's page, made again from its files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from loralab.errors import UserError

log = logging.getLogger("loralab")


def main(arguments: Sequence[str]) -> None:
    """Writes report.html into `run=<folder>` and prints its path."""
    from loralab.report import write_run_page

    key, _, folder = (arguments[0] if len(arguments) == 1 else "").partition("=")
    if key != "run" or not (Path(folder) / "config.yaml").is_file():
        raise UserError(f"report needs run=<the folder of a run>, not {' '.join(arguments) or 'nothing'}")
    log.info("page  %s", write_run_page(folder))
