"""What the planner knows of a model: networks without weights, and how many tokens each layer sees.

A family fills it from the component configs. Streams say of a linear layer, by a pattern on its whole name, which
tokens pass through it: those of the picture (or video), those of its sound, those of the prompt, or one vector per
picture; all others see all tokens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from loralab.errors import UserError
from loralab.memory.blocks import repeated_blocks

STREAMS = ("picture", "audio", "prompt", "vector")


@dataclass(frozen=True)
class Blueprint:
    """A model on the meta device.

    Attributes:
        family: architecture, for example `flux2_klein`.
        transformer: without weights; so are the other networks.
        text_encoder: with the layers that are used.
        vae: the VAE.
        quantized: pattern on the names of the transformer's linear layers that are quantised where weights are.
        encoder_quantized: the same for the text encoder.
        dim: width of a token.
        num_heads: of the attention.
        prompt_tokens: how many the transformer sees of a usual prompt.
        longest_prompt: how many the text encoder sees at most.
        token_multiple: sequences are padded to a multiple of it.
        vae_channels: channels of the VAE's levels, from the full resolution down.
        streams: pattern of the layers that belong to a stream of tokens.
        unrepeated: pattern of layers whose results no gradient needs: compiled checkpointing does not repeat them.
    """

    family: str
    transformer: nn.Module
    text_encoder: nn.Module
    vae: nn.Module
    quantized: str
    encoder_quantized: str
    dim: int
    num_heads: int
    prompt_tokens: int
    longest_prompt: int
    vae_channels: tuple[int, ...]
    token_multiple: int = 1
    streams: Mapping[str, str] = field(default_factory=dict)
    unrepeated: str = ""

    def padded(self, num_tokens: int) -> int:
        """Gives how many tokens a sequence has in the transformer."""
        return -(-num_tokens // self.token_multiple) * self.token_multiple

    def blocks(self) -> list[str]:
        """Names the repeated blocks in the order of their calls."""
        blocks = set(repeated_blocks(self.transformer))
        return [name for name, module in self.transformer.named_modules() if module in blocks]

    def layers(self, *, adapted: str | None = None) -> list[Layer]:
        """Lists the transformer's linear layers.

        Args:
            adapted: pattern on the names of those that carry an adapter; None for no adapter.

        Raises:
            UserError: if none matches.
        """
        places = {name: index for index, name in enumerate(self.blocks())}
        layers = [
            self._layer(name, module, places, adapted)
            for name, module in self.transformer.named_modules()
            if isinstance(module, nn.Linear)
        ]
        if adapted is not None and not any(layer.adapted for layer in layers):
            raise UserError(
                f"adapter.targets: no linear layer of {type(self.transformer).__name__} has a name that matches"
                f" {adapted!r} from end to end; use attention, attention_mlp or all."
            )
        return layers

    def _layer(self, name: str, module: nn.Linear, places: Mapping[str, int], adapted: str | None) -> Layer:
        owners = [places[block] for block in places if name.startswith(f"{block}.")]
        streams = [key for key, pattern in self.streams.items() if re.fullmatch(pattern, name)]
        return Layer(
            name=name,
            rows=module.out_features,
            columns=module.in_features,
            block=owners[0] if owners else None,
            stream=streams[0] if streams else "all",
            quantized=re.fullmatch(self.quantized, name) is not None,
            adapted=adapted is not None and re.fullmatch(adapted, name) is not None,
            repeated=re.fullmatch(self.unrepeated, name) is None,
        )


@dataclass(frozen=True)
class Layer:
    """A linear layer.

    Attributes:
        name: in the transformer.
        rows: output features.
        columns: input features.
        block: number of its block; None outside.
        stream: picture, audio, prompt, vector or all: which tokens pass through it.
        quantized: where weights are.
        adapted: carries the adapter.
        repeated: compiled checkpointing computes it again.
    """

    name: str
    rows: int
    columns: int
    block: int | None
    stream: str
    quantized: bool
    adapted: bool
    repeated: bool

    @property
    def numel(self) -> int:
        """Entries of the weight."""
        return self.rows * self.columns


@dataclass(frozen=True)
class Tokens:
    """How long the sequences of one picture or clip are.

    Attributes:
        picture: tokens of the picture or video, references among them.
        prompt: of the prompt.
        audio: of the sound.
        prompt_is_apart: the prompt is attended to and is no part of the sequence.
    """

    picture: int
    prompt: int
    audio: int = 0
    prompt_is_apart: bool = False

    def of(self, stream: str) -> int:
        """Counts the tokens of a stream."""
        counts = {"picture": self.picture, "audio": self.audio, "prompt": self.prompt, "vector": 1}
        together = self.picture + self.audio + (0 if self.prompt_is_apart else self.prompt)
        return counts.get(stream, together)


def stream_of_block(layers: Sequence[Layer]) -> str:
    """Gives the stream that a block's attention spans: that of its layers, or all where they differ."""
    streams = {layer.stream for layer in layers} - {"vector"}
    return streams.pop() if len(streams) == 1 else "all"
