"""`python -m loralab score`: how near an adapter file's pictures are to the true ones."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from loralab.cli.compose import composed, placed_denoiser, require_match
from loralab.errors import UserError
from loralab.files import atomic_write

log = logging.getLogger("loralab")


def main(arguments: Sequence[str]) -> None:
    """Draws the concept's held-out captions, prints the headline figures and leaves all of them in score.json."""
    from hydra.utils import instantiate

    from loralab.evaluation.style import emoji_concept

    config = composed("score", arguments)
    if (
        not config.dataset._target_.endswith("PictureDataset")
        or "EmojiSource" not in config.dataset.source._target_
    ):
        raise UserError(
            "score needs pictures whose truth is known: dataset=emoji_linocut or dataset=emoji_twemoji"
        )
    adapter, output = Path(config.adapter_file), Path(config.output)
    require_match(config, adapter)
    scores = instantiate(config.evaluation).run(
        placed_denoiser(config),
        adapter=adapter,
        folder=output,
        captions=(),
        concept=emoji_concept(config.dataset.root.partition("/")[0]),
    )
    atomic_write(output / "score.json", json.dumps(scores, indent=2) + "\n")
    for name in ("pixel", "feature"):
        measure = scores["style"][name]
        log.info(
            "%-8s distance to the truth: base %.4f, adapter %.4f", name, measure["base"], measure["adapter"]
        )
    log.info(
        "drift without the trigger: %.2f of what another seed changes",
        scores["style"]["drift_feature"]["ratio"],
    )
    log.info("figures   %s", output / "score.json")
