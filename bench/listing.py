"""How long a data set of many small files takes to be listed and checked, the first time and the second.

python bench/listing.py --count 50000
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from loralab.data.folder import FolderSource  # noqa: E402
from loralab.data.inspect import Inspector  # noqa: E402


def main() -> None:
    """Writes pictures with captions, lists and checks them twice."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=50_000)
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as scratch:
        root, cache = Path(scratch) / "set", Path(scratch) / "cache"
        written(root, count=count)
        for name in ("first", "second"):
            started = time.perf_counter()
            listing = FolderSource().read(str(root), key="dataset.root", cache_root=cache)
            listed = time.perf_counter()
            inspector = Inspector(default_caption=None, masked_loss="none", min_side=1, cache_root=cache)
            records, problems = inspector.inspect(listing.entries)
            checked = time.perf_counter()
            print(
                f"{name}: {len(records)} pictures, {len(problems)} problems; listed in {listed - started:.1f} s, "
                f"checked in {checked - listed:.1f} s",
                flush=True,
            )


def written(root: Path, *, count: int) -> None:
    """Writes pictures of 16x16, each another one, a thousand to a folder."""
    source = np.random.default_rng(0)
    for index in range(count):
        folder = root / f"{index // 1000:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(source.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{index}.png")
        (folder / f"{index}.txt").write_text(f"picture {index}", encoding="utf-8")


if __name__ == "__main__":
    main()
