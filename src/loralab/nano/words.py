"""The nano text encoder's words: a real Qwen2 tokenizer whose byte pairs were merged until every word is one token."""

from __future__ import annotations

import json
import re
from typing import Any

from loralab.data.emoji.atlas import all_names
from loralab.data.emoji.spec import ATTRIBUTES, STYLES

MAX_SEQUENCE_LENGTH = 16
RESERVED = tuple("linocut twemoji sks ohwx neon sketch pixel mosaic poster watercolour stamp chalk".split())
"""Words that training puts beside captions without effect: an adapter can give one of them a meaning."""
TEMPLATE = "{{ ' ' + messages[0]['content'] }}"
PAD = "<|endoftext|>"


def build_tokenizer() -> Any:
    """A Qwen2 tokenizer over the captions' words; any other text falls into pieces and bytes as usual."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import Qwen2TokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=8192,
        min_frequency=1,
        special_tokens=[PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(sorted(f" {word}" for word in vocabulary()), trainer)
    learnt = json.loads(bpe.to_str())["model"]
    merges = [tuple(pair) for pair in learnt["merges"]]
    tokenizer = Qwen2TokenizerFast(vocab=learnt["vocab"], merges=merges, pad_token=PAD, padding_side="right")
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def vocabulary() -> set[str]:
    """Every word that a caption may hold, the reserved ones included."""
    values = (value for values in ATTRIBUTES.values() for value in values)
    return set(re.findall("[a-z]+", " ".join([*all_names(), *values, *STYLES, *RESERVED, "background"])))
