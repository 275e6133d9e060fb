"""How many graphs are compiled as pictures of more and more shapes are trained on: tiny networks, on any CPU.

    python bench/compiled_graphs.py --out docs/compiled_graphs.json

The real classes of both families, with random weights and an adapter. After each shape of picture (a bucket; prompts
of Z-Image change their length with it) the count is what result.json calls `compiled_graphs`: forwards and backwards
through the adapter, then drawing without gradients.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

SHAPES = ((64, 64), (96, 64), (64, 128), (160, 96))
"""Height and width of the pictures, in pixels."""
PROMPTS = {"flux2_klein": (48, (32, 32, 32, 32)), "z_image": (16, (20, 50, 90, 130))}
"""Width of the embeddings, and tokens by shape: Klein pads every prompt alike."""


def main() -> None:
    """Prints a row for each family and shape."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", nargs="+", default=list(PROMPTS), choices=list(PROMPTS))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = [row for family in arguments.families for row in counted(family)]
    print(json.dumps(rows))
    if arguments.out:
        arguments.out.write_text(json.dumps(rows, indent=1) + "\n")


def counted(family: str) -> list[dict[str, Any]]:
    """Gives the number of graphs after each shape, of training and of drawing apart."""
    from loralab.memory import num_graphs

    denoiser, (width, lengths) = _prepared(family), PROMPTS[family]
    rows: list[dict[str, Any]] = []
    first = num_graphs()
    for (height, wide), length in zip(SHAPES, lengths, strict=True):
        noisy = torch.randn(1, *denoiser.latents_shape(height=height, width=wide))
        told = {"sigma": torch.tensor([0.5]), "prompt_embeds": [torch.randn(length, width)]}
        before = num_graphs()
        denoiser.velocity(noisy, **told).square().mean().backward()
        trained = num_graphs()
        with torch.no_grad():
            denoiser.velocity(noisy, **told)
        rows.append(
            {
                "family": family,
                "shape": f"{wide}x{height}",
                "trained": trained - before,
                "drawn": num_graphs() - trained,
                "in_all": num_graphs() - first,
            }
        )
    return rows


def _prepared(family: str) -> Any:
    """Gives a tiny denoiser whose blocks are compiled and carry an adapter."""
    from tests.tiny import save_klein, save_zimage

    from loralab.adapter import LoraSpec, inject
    from loralab.denoiser import Sampling
    from loralab.families.flux2_klein import Flux2Klein
    from loralab.families.z_image import ZImage
    from loralab.memory import Placement

    save, made = {"flux2_klein": (save_klein, Flux2Klein), "z_image": (save_zimage, ZImage)}[family]
    folder = save(Path(tempfile.mkdtemp()))
    denoiser: Any = made(name="tiny", checkpoint=str(folder), sampling=Sampling(4, 0.0, 64, 64))
    denoiser.place(Placement(torch.device("cpu"), torch.float32, checkpointing="selective", compile=True))
    spec = LoraSpec(rank=4, alpha=4, targets="attention")
    inject(denoiser.transformer, spec, pattern=denoiser.target_pattern("attention"))
    return denoiser


if __name__ == "__main__":
    main()
