"""The nano text encoder's words: a real Gemma tokenizer whose byte pairs were merged until every word is one token."""

from __future__ import annotations

import json
import re
from typing import Any

from loralab.data.emoji.spec import BACKGROUNDS
from loralab.data.moving.scene import ACTIONS, NAMES, PACES, PLACES
from loralab.nano.ltx.parts import MAX_LENGTH

RESERVED = ("zigzag", "sks", "ohwx", "bounce", "spiral", "orbit")
"""Words that training puts beside captions without effect: an adapter can give one of them a meaning."""
SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")
LETTERS = [*"abcdefghijklmnopqrstuvwxyz0123456789.,!?-'", "▁"]


def build_tokenizer() -> Any:
    """A Gemma tokenizer over the captions' words, which begins a text with <bos>; other text falls into letters."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import GemmaTokenizerFast

    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    trainer = trainers.BpeTrainer(
        vocab_size=4096,
        show_progress=False,
        initial_alphabet=LETTERS,
        special_tokens=[*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))],
    )
    words = vocabulary()
    learner.train_from_iterator([*words, *(f" {word}" for word in words)], trainer)
    learned = json.loads(learner.to_str())["model"]
    merges = [tuple(pair) for pair in learned["merges"]]
    made = GemmaTokenizerFast(
        vocab=learned["vocab"], merges=merges, model_max_length=MAX_LENGTH, padding_side="left"
    )
    made.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", made.bos_token_id)]
    )
    return made


def vocabulary() -> list[str]:
    """Every word that a caption may hold, the reserved ones included, in order."""
    phrases = (*NAMES, *ACTIONS, *PACES, *PLACES.values(), *BACKGROUNDS, *RESERVED, "background from the")
    return sorted(set(re.findall("[a-z]+", " ".join(phrases))))
