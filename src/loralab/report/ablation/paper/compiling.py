"""From LaTeX source to a PDF, in a folder of its own, so that nothing but the PDF comes back."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from loralab.errors import UserError
from loralab.files import atomic_write

TIMEOUT_S = 120
PASSES = 2
"""The second one knows where tables and sections have come to stand."""
TAIL = 1500


def compiled(source: Path) -> Path | None:
    """Compiles a document beside its figures; gives the PDF, or None where there is no pdflatex.

    Raises:
        UserError: where pdflatex does not get through, with the end of what it says.
    """
    if shutil.which("pdflatex") is None:
        return None
    source = source.absolute()
    with tempfile.TemporaryDirectory() as place:
        for _ in range(PASSES):
            done = subprocess.run(
                ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape",
                 f"-output-directory={place}", source.name],
                cwd=source.parent, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
            if done.returncode:
                raise UserError(f"pdflatex {source} failed; the end of what it says:\n{done.stdout[-TAIL:]}")
        made = Path(place, source.with_suffix(".pdf").name).read_bytes()
    return atomic_write(source.with_suffix(".pdf"), made)
