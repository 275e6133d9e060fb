"""The prompts for which a checkpoint draws its own pictures: a file's, a data set's, or those of the nano models."""

from __future__ import annotations

import itertools
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from loralab.config import model_arguments
from loralab.data.captions import PLACEHOLDER
from loralab.errors import UserError


def own_prompts(
    config: DictConfig, file: str | None, *, count: int, beside: Path | None = None
) -> tuple[str, ...]:
    """Gives `count` prompts, over and over where there are fewer.

    Args:
        config: whose data set has captions.
        file: a text file with a prompt a line, which comes before all else.
        count: how many.
        beside: an adapter file; the data set of the run that it lies in is asked before the configured one.

    Raises:
        UserError: if nothing has prompts.
    """
    if file is not None:
        known = _lines(Path(file))
    elif "EmojiSource" in str(OmegaConf.select(config, "dataset.source._target_")):
        known = _emoji_captions(count)
    elif beside is not None and (recorded := beside.parent / "config.yaml").is_file():
        known = _captions(config, OmegaConf.load(recorded).dataset)
    elif OmegaConf.is_missing(config.dataset, "root"):
        raise UserError(
            "an assistant needs prompts: assistant.prompts=<file with a prompt a line>, or dataset.root=<pictures with "
            "captions>"
        )
    else:
        known = _captions(config, config.dataset)
    return tuple(itertools.islice(itertools.cycle(known), count))


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise UserError(f"assistant.prompts={path} is no file: give a text file with a prompt a line")
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    if not (found := [line for line in lines if line]):
        raise UserError(f"assistant.prompts={path} holds no prompt")
    return found


def _emoji_captions(count: int) -> list[str]:
    """Gives captions such as the nano models were trained on."""
    from loralab.data.emoji.varied import draw_varied

    return [draw_varied(0, index=index).caption for index in range(count)]


def _captions(config: DictConfig, described: DictConfig) -> list[str]:
    """Gives the captions of a data set as written, without its trigger: an assistant knows no concept."""
    from hydra.utils import instantiate

    dataset = instantiate(described)
    collection = dataset.collect(instantiate(model_arguments(config)).size_multiple)
    records = (*collection.train, *collection.validation)
    trigger = dataset.trigger or PLACEHOLDER
    captions = (record.caption.replace(PLACEHOLDER, "").replace(trigger, "") for record in records)
    return list(dict.fromkeys(caption.strip(" ,") for caption in captions if caption.strip(" ,")))
