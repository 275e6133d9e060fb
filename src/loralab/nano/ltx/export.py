"""Writes the nano LTX-Video as an ordinary diffusers folder."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from loralab.errors import UserError
from loralab.nano.fit import load_state
from loralab.nano.klein import replace_folder
from loralab.nano.ltx.parts import build_connectors, build_gemma, build_transformer, scheduler
from loralab.nano.ltx.sound import load_audio_vae, load_vocoder
from loralab.nano.ltx.video_vae import load_video_vae
from loralab.nano.ltx.words import build_tokenizer

LIMIT_BYTES = 20_000_000


def export_ltx(out: Path, *, folder: Path) -> int:
    """Writes the diffusers folder of the states in `out` (averaged weights); returns its size in bytes.

    Text encoder, connectors and transformer are written in bf16, VAEs and vocoder in fp16.

    Raises:
        UserError: if a state is not there, or the folder is larger than the repository can carry.
    """
    from diffusers import LTX2Pipeline

    tokenizer = build_tokenizer()
    networks = nn.ModuleList([build_connectors(), build_transformer()])
    networks.load_state_dict(load_state(out / "ltx_state.pt", command="train_ltx")["average"])
    connectors, transformer = networks
    pipeline = LTX2Pipeline(
        scheduler=scheduler(),
        vae=load_video_vae(out).half(),
        audio_vae=load_audio_vae(out).half(),
        vocoder=load_vocoder(out).half(),
        text_encoder=build_gemma(len(tokenizer)).bfloat16(),
        tokenizer=tokenizer,
        connectors=connectors.bfloat16(),
        transformer=transformer.bfloat16(),
    )
    size = replace_folder(pipeline, folder)
    if size > LIMIT_BYTES:
        raise UserError(f"{folder} has {size} bytes, at most {LIMIT_BYTES} are carried in the repository.")
    return size
