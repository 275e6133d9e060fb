"""Settings by which clips are drawn; what is not set is the checkpoint's own."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loralab.data.video.encoders import PromptEmbeds
from loralab.denoiser import ClipDenoiser, ModalityGuidance
from loralab.errors import UserError, joined
from loralab.evaluation.video.guidance import NEGATIVE, PERTURBED, passes
from loralab.evaluation.video.sampler import Steps
from loralab.evaluation.video.size import ClipSize
from loralab.memory.blocks import repeated_blocks

NEUTRAL = ModalityGuidance()
FIELDS = {"perturbed_scale": "perturbed", "modality_scale": "modality", "rescale": "rescale"}
"""Setting for both modalities -> field of their guidance."""


@dataclass(frozen=True, kw_only=True)
class ClipDrawing:
    """Settings of the sampler; None takes the checkpoint's own.

    Attributes:
        num_steps: solver steps.
        width, height, num_frames, fps: of the clips.
        video_guidance_scale, audio_guidance_scale: away from the negative prompt; 1 is off.
        perturbed_scale: away from the network without self-attention in `perturbed_blocks` (STG); 0 is off.
        modality_scale: away from the network without attention between video and sound; 1 is off.
        rescale: share by which guided estimates get the deviation of unguided ones; 0 is off.
        perturbed_blocks: numbers of blocks, from 0.
        negative_prompt: what guidance leads away from.
        key: how these settings are typed, for messages.
    """

    num_steps: int | None = None
    width: int | None = None
    height: int | None = None
    num_frames: int | None = None
    fps: float | None = None
    video_guidance_scale: float | None = None
    audio_guidance_scale: float | None = None
    perturbed_scale: float | None = None
    modality_scale: float | None = None
    rescale: float | None = None
    perturbed_blocks: Sequence[int] | None = None
    negative_prompt: str | None = None
    key: str = "evaluation.drawing."

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise UserError("clips cannot be drawn so:\n" + joined(problems))

    def _problems(self) -> Iterator[str]:
        for name in ("num_steps", "width", "height", "num_frames"):
            if (value := getattr(self, name)) is not None and value < 1:
                yield f"{self.key}{name}={value} must be at least 1"
        if self.fps is not None and self.fps <= 0:
            yield f"{self.key}fps={self.fps} must be above 0"
        if self.rescale is not None and not 0 <= self.rescale <= 1:
            yield f"{self.key}rescale={self.rescale} is a share, from 0 to 1"

    def size(self, model: ClipDenoiser) -> ClipSize:
        """Gives the size of clips that have none of their own."""
        sampling = model.sampling
        return ClipSize(
            width=self.width or sampling.width,
            height=self.height or sampling.height,
            num_frames=self.num_frames or sampling.num_frames,
            fps=self.fps or sampling.fps,
        )

    def resized(self, size: ClipSize) -> ClipSize:
        """Gives a size with what is set here in the place of its own."""
        names = [field.name for field in dataclasses.fields(size)]
        return dataclasses.replace(
            size, **{name: value for name in names if (value := getattr(self, name)) is not None}
        )

    def guidances(self, model: ClipDenoiser) -> tuple[ModalityGuidance, ModalityGuidance]:
        """Gives the guidance of video and sound."""
        both = {field: value for name, field in FIELDS.items() if (value := getattr(self, name)) is not None}
        scales = (self.video_guidance_scale, self.audio_guidance_scale)
        return tuple(  # type: ignore[return-value]
            dataclasses.replace(own, **both, **({} if scale is None else {"scale": scale}))
            for own, scale in zip((model.sampling.video, model.sampling.audio), scales, strict=True)
        )

    def require_drawable(self, model: ClipDenoiser) -> None:
        """Refuses sizes, steps and guidance that a checkpoint cannot have, before anything is loaded.

        Raises:
            UserError: with the key as typed and the way out.
        """
        self.size(model).require(model, key=f"{self.key}width x height x num_frames")
        is_guided = any(guidance != NEUTRAL for guidance in self.guidances(model))
        if is_guided and model.variant == "distilled":
            raise UserError(
                f"{self._typed_guidance()}: {model.name} is distilled to be drawn without guidance, which would spoil "
                "its clips. Leave it out, or choose the base model."
            )
        if self.negative_prompt is not None and NEGATIVE not in self._passes(model):
            raise UserError(
                f"{self.key}negative_prompt has no effect: no guidance scale leads away from it. Set "
                f"{self.key}video_guidance_scale above 1, or leave the negative prompt out."
            )
        self._require_blocks(model)
        self.steps(model, self.size(model))

    def steps(self, model: ClipDenoiser, size: ClipSize) -> Steps:
        """Gives how a clip of this size is drawn; the scheduler shifts by the clip's own number of tokens."""
        num_steps = model.sampling.num_steps if self.num_steps is None else self.num_steps
        shape = model.video_latents_shape(frames=size.num_frames, height=size.height, width=size.width)
        video, audio = self.guidances(model)
        return Steps(
            sigmas=model.sampling_sigmas(num_steps=num_steps, num_tokens=math.prod(shape[1:])),
            video=video,
            audio=audio,
            perturbed_blocks=self._blocks(model),
        )

    def encode(self, model: ClipDenoiser, texts: Sequence[str]) -> dict[str, PromptEmbeds]:
        """Embeds prompts, and the negative prompt where it counts; frees the text encoder."""
        needed = [*texts, *([self.negative(model)] if NEGATIVE in self._passes(model) else [])]
        distinct = list(dict.fromkeys(needed))
        embeds = dict(zip(distinct, model.encode_prompts(distinct), strict=True))
        model.release("text_encoder")
        return embeds

    def negative(self, model: ClipDenoiser) -> str:
        """Gives the negative prompt."""
        return model.sampling.negative_prompt if self.negative_prompt is None else self.negative_prompt

    def _require_blocks(self, model: ClipDenoiser) -> None:
        if PERTURBED not in self._passes(model):
            return
        blocks, count = self._blocks(model), len(repeated_blocks(model.blueprint().transformer))
        if not blocks or not 0 <= min(blocks) <= max(blocks) < count:
            raise UserError(
                f"{self.key}perturbed_blocks={list(blocks)} names no block of this transformer, or one that it lacks: "
                f"its {count} blocks are numbered from 0. Choose others, or set {self.key}perturbed_scale=0."
            )

    def _passes(self, model: ClipDenoiser) -> list[str]:
        return passes(self.guidances(model), has_both=True)

    def _blocks(self, model: ClipDenoiser) -> tuple[int, ...]:
        return tuple(
            model.sampling.perturbed_blocks if self.perturbed_blocks is None else self.perturbed_blocks
        )

    def _typed_guidance(self) -> str:
        names = ("video_guidance_scale", "audio_guidance_scale", *FIELDS)
        typed = [f"{self.key}{name}={value}" for name in names if (value := getattr(self, name)) is not None]
        return ", ".join(typed) or "guidance"
