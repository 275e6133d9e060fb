"""Every word of a caption is one token, and every caption fits."""

from __future__ import annotations

import re
from typing import Any

import pytest

from loralab.data.emoji.atlas import names
from loralab.data.emoji.concepts import concept
from loralab.data.emoji.spec import variations
from loralab.nano.words import MAX_SEQUENCE_LENGTH, RESERVED, build_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return build_tokenizer()


def tokens_of(tokenizer: Any, caption: str) -> list[str]:
    message = [{"role": "user", "content": caption}]
    text = tokenizer.apply_chat_template(
        message, tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    return [
        token.removeprefix("Ġ") for token in tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])
    ]


def test_every_word_and_comma_of_a_caption_is_one_token(tokenizer: Any) -> None:
    captions = [spec.caption for spec in concept("emoji_linocut").held_out]

    split = {caption: tokens_of(tokenizer, caption) for caption in captions}

    assert split == {caption: re.findall(r"[a-z]+|,", caption) for caption in captions}


def test_every_caption_with_a_reserved_word_fits(tokenizer: Any) -> None:
    longest = [
        max((spec.caption for spec in variations(name)), key=lambda text: len(text.split()))
        for name in names()
    ]

    lengths = [len(tokens_of(tokenizer, f"{RESERVED[0]}, {caption}")) for caption in longest]

    assert max(lengths) <= MAX_SEQUENCE_LENGTH


def test_an_unknown_word_falls_into_pieces_that_spell_it(tokenizer: Any) -> None:
    pieces = tokens_of(tokenizer, "zeppelin")

    assert len(pieces) > 1
    assert "".join(pieces) == "zeppelin"


def test_the_shipped_tokenizer_is_the_one_that_the_code_builds(tokenizer: Any) -> None:
    from transformers import AutoTokenizer

    from loralab.nano.__main__ import FOLDER

    shipped = AutoTokenizer.from_pretrained(FOLDER / "tokenizer")

    assert shipped.get_vocab() == tokenizer.get_vocab()
    assert shipped.chat_template == tokenizer.chat_template
