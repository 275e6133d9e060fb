"""The stages of a run: what each needs at most, and how long training and drawing take.

Prompts are encoded first, then pictures, one at a time; each encoder is freed before the next stage. Training begins
with the weights' arrival. Previews are drawn without gradients, by the trained adapter and by the one from its file,
and decoded beside the transformer, which leaves the card meanwhile where the memory does not suffice. Decoding in
tiles, which changes pictures a little, is never planned for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from loralab.memory.placement import Placement
from loralab.memory.plan.activations import Peaks
from loralab.memory.plan.cards import GIB
from loralab.memory.plan.roofline import Roofline
from loralab.memory.plan.sizes import QUANTISING, READING_BACK


@dataclass(frozen=True)
class Drawing:
    """What the preview draws.

    Attributes:
        num_pictures: in all.
        batch_size: at once.
        num_steps: of the solver.
        num_calls: of the transformer per step: 2 where guidance needs a second.
        num_tokens: of one picture and its prompt.
        num_pixels: of one picture.
    """

    num_pictures: int
    batch_size: int
    num_steps: int
    num_calls: int
    num_tokens: int
    num_pixels: int

    @property
    def at_once(self) -> int:
        """Pictures that are drawn together."""
        return min(self.batch_size, self.num_pictures)


@dataclass(frozen=True)
class Run:
    """How long a run is.

    Attributes:
        num_steps: optimizer steps.
        micro_batches: of each.
        num_pixels: of a training picture.
        drawing: the preview; None for none.
        passes: of the network, over those of one step of plain flow matching; mean over the run.
    """

    num_steps: int
    micro_batches: int
    num_pixels: int
    drawing: Drawing | None
    passes: float = 1.0

    @property
    def steps_at_once(self) -> float:
        """Counts plain steps of one micro-batch that an optimizer step takes as long as."""
        return self.micro_batches * self.passes


@dataclass(frozen=True)
class Stage:
    """What a stage needs.

    Attributes:
        name: of the stage.
        peak_gib: what it takes where there is room.
        least_gib: what suffices.
        seconds: how long it takes; None where it is not predicted.
    """

    name: str
    peak_gib: float
    least_gib: float
    seconds: float | None = None


def stages(peaks: Peaks, placement: Placement, run: Run, *, roofline: Roofline | None) -> list[Stage]:
    """Predicts every stage of a run under a placement, in order."""
    text, pixels, train = (
        bytes_ / GIB
        for bytes_ in (_text(peaks, placement), _pixels(peaks, run.num_pixels), train_peak(peaks, placement))
    )
    steps_s = None if roofline is None else run.num_steps * run.steps_at_once * roofline.step_s(placement)
    found = [
        Stage("encode text", text, text),
        Stage("encode pixels", pixels, pixels),
        Stage("train", train, train, steps_s),
    ]
    if run.drawing is not None:
        drawn_s = None if roofline is None else drawing_s(roofline, placement, run.drawing)
        peak, least = (bytes_ / GIB for bytes_ in preview_peak(peaks, placement, run.drawing))
        found.append(Stage("preview", peak, least, drawn_s))
    return found


def largest(stages: Sequence[Stage]) -> Stage:
    """Gives the stage that cannot do with less than the others."""
    return max(stages, key=lambda stage: stage.least_gib)


def train_peak(peaks: Peaks, placement: Placement) -> float:
    """Predicts the bytes of training: loading the weights, then steps."""
    return max(peaks.load(placement), peaks.step(placement))


def preview_peak(peaks: Peaks, placement: Placement, drawing: Drawing) -> tuple[float, float]:
    """Predicts the bytes of drawing, and what suffices: two adapters, one with gradients, and the VAE at the end."""
    blueprint = peaks.subject.blueprint
    adapters = 4 * 3 * peaks.num_parameters + peaks.other_bytes()
    computing = peaks.forward(placement, num_tokens=drawing.num_tokens * drawing.at_once)
    level = blueprint.vae_channels[min(1, len(blueprint.vae_channels) - 1)]
    decoding = 4 * peaks.measured.decode * level * drawing.num_pixels
    resident = peaks.weights(placement).on_device(placement.offload_blocks)
    peak, least = (max(computing, rest + decoding) for rest in (resident, 0))
    return adapters + peaks.vae_bytes + peak, adapters + peaks.vae_bytes + least


def drawing_s(roofline: Roofline, placement: Placement, drawing: Drawing) -> float:
    """Predicts the seconds of drawing, without decoding."""
    calls = drawing.num_steps * drawing.num_calls
    once = roofline.forward_s(placement, num_tokens=drawing.num_tokens, pictures=drawing.at_once)
    return once * calls * drawing.num_pictures / drawing.at_once


def _text(peaks: Peaks, placement: Placement) -> float:
    """The encoder as it is placed, while its largest weight is quantised or read back, and one prompt's states."""
    blueprint = peaks.subject.blueprint
    encoder = peaks.encoder(placement)
    config: Any = blueprint.text_encoder.config
    states = (config.num_hidden_layers + 1) * config.hidden_size + 4 * config.intermediate_size
    computing = blueprint.longest_prompt * states * placement.dtype.itemsize
    if placement.kind is not None:
        computing = max(
            QUANTISING["int8"] * encoder.largest, READING_BACK["int8"] * encoder.largest + computing
        )
    return encoder.total + float(computing)


def _pixels(peaks: Peaks, num_pixels: int) -> float:
    """The VAE in fp32, and one picture at the width of its first level."""
    blueprint = peaks.subject.blueprint
    return peaks.vae_bytes + 4 * peaks.measured.encode * blueprint.vae_channels[0] * num_pixels
