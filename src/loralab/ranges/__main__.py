"""`python -m loralab.ranges` writes `sweeps/README.md` from the files beside it."""

from __future__ import annotations

import sys

from loralab.errors import UserError
from loralab.files import atomic_write
from loralab.ranges.read import SWEEPS, read_sweep
from loralab.ranges.table import page


def main() -> None:
    """Writes the page and says where; a mistake in a file is one message."""
    try:
        sweeps = [read_sweep(path) for path in sorted(SWEEPS.glob("*.yaml"))]
    except UserError as error:
        sys.exit(f"{error}")
    print(f"{len(sweeps)} models: {atomic_write(SWEEPS / 'README.md', page(sweeps))}")


if __name__ == "__main__":
    main()
