"""From the caption as written to the prompts that the text encoder reads: trigger word, shuffled tags."""

from __future__ import annotations

from dataclasses import dataclass

from loralab.data.chance import shuffled

PLACEHOLDER = "[trigger]"
TRIGGER_POLICIES = ("prepend", "replace", "written")


@dataclass(frozen=True, kw_only=True)
class CaptionRules:
    """How captions become prompts.

    Attributes:
        trigger: the word that the adapter answers to, or None.
        policy: `prepend`: `<trigger>, caption`, or in the place of `[trigger]` where a caption has one;
            `replace`: only in the place of `[trigger]`; `written`: captions already contain the word.
        num_variants: prompts per caption; the first keeps the tags' order, the others shuffle them.
        keep_first: so many leading tags stay where they are.
    """

    trigger: str | None
    policy: str = "prepend"
    num_variants: int = 1
    keep_first: int = 1

    def prompts(self, caption: str, *, key: str) -> tuple[str, ...]:
        """Gives the prompts of one caption, each once; `key` seeds the shuffles."""
        variants = [caption, *(self._shuffled(caption, key, index) for index in range(1, self.num_variants))]
        return tuple(dict.fromkeys(self._with_trigger(variant) for variant in variants))

    def _with_trigger(self, caption: str) -> str:
        if self.trigger is None or self.policy == "written":
            return caption
        if PLACEHOLDER in caption:
            return caption.replace(PLACEHOLDER, self.trigger)
        return f"{self.trigger}, {caption}" if self.policy == "prepend" else caption

    def _shuffled(self, caption: str, key: str, index: int) -> str:
        tags = [tag.strip() for tag in caption.split(",") if tag.strip()]
        first, rest = tags[: self.keep_first], tags[self.keep_first :]
        order = shuffled(len(rest), "tags", key, caption, index)
        return ", ".join([*first, *(rest[position] for position in order)])


def tidy(text: str) -> str:
    """Gives a caption on one line, without space around it."""
    return " ".join(text.split())
