"""Prompts of the prior: what the checkpoint shall go on drawing as before. None of them may call the concept."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from loralab.data.captions import PLACEHOLDER, tidy
from loralab.data.collect import Collection
from loralab.errors import UserError

log = logging.getLogger(__name__)
WAY_OUT = "Give prompts that do not call the concept: objective.prior.prompts=prompts.txt, one in each line"


def prior_prompts(
    given: Sequence[str] | str | None, collection: Collection, *, trigger: str | None
) -> tuple[str, ...]:
    """Gives the prior's prompts, each once, without those that call the concept (which is logged).

    Args:
        given: texts, the path of a file, or None for the captions with the trigger taken out.
        collection: whose training prompts call the concept.
        trigger: the word that does.

    Raises:
        UserError: if none is left, or the file is not there.
    """
    if given is None and trigger is None:
        raise UserError(
            "objective.prior.prompts must be given, since dataset.trigger is not: captions without a trigger call the "
            f"concept itself, and the prior would hold it back. {WAY_OUT}, or set dataset.trigger"
        )
    texts = _captions(collection, trigger) if given is None else _read(given)
    trained = {prompt for record in collection.train for prompt in record.prompts}
    calling = [text for text in texts if text in trained or _has_word(text, trigger)]
    if calling:
        log.warning(
            "objective.prior.prompts: %d call the concept and are left out, for example %r",
            len(calling),
            calling[0],
        )
    kept = tuple(text for text in dict.fromkeys(texts) if text and text not in set(calling))
    if not kept:
        raise UserError(f"objective.prior.prompts has no prompt left without the concept. {WAY_OUT}")
    return kept


def without_trigger(caption: str, trigger: str | None) -> str:
    """Gives a caption without the trigger and its placeholder, and without the comma that it leaves."""
    text = caption.replace(PLACEHOLDER, " ")
    if trigger is not None:
        text = re.sub(_word(trigger), " ", text, flags=re.IGNORECASE)
    text = re.sub(r"\s+([,.;:])", r"\1", tidy(text))
    return tidy(re.sub(r"([,;:])(\s*[,;:])+", r"\1", text).strip(",;: "))


def _captions(collection: Collection, trigger: str | None) -> list[str]:
    return [without_trigger(record.caption, trigger) for record in collection.train]


def _read(given: Sequence[str] | str) -> list[str]:
    if not isinstance(given, str):
        return [tidy(text) for text in given]
    path = Path(given).expanduser()
    if not path.is_file():
        raise UserError(
            f"objective.prior.prompts={given} does not exist (looked in {path.parent.resolve()}). {WAY_OUT}"
        )
    return [tidy(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _has_word(text: str, trigger: str | None) -> bool:
    return trigger is not None and re.search(_word(trigger), text, flags=re.IGNORECASE) is not None


def _word(trigger: str) -> str:
    """The trigger between places where no word goes on, whatever characters it is made of."""
    return rf"(?<!\w){re.escape(trigger)}(?!\w)"
