"""How evaluation draws: with which steps and guidance, by the base or with an adapter read from its file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from loralab.adapter import attached, disabled
from loralab.denoiser import Denoiser
from loralab.errors import UserError, joined
from loralab.evaluation.sampler import Progress, draw


@dataclass(frozen=True)
class Prompts:
    """Texts and what the text encoder makes of them.

    Attributes:
        texts: the prompts.
        embeds: one for each.
        negatives: one for each where guidance needs them, else None.
    """

    texts: tuple[str, ...]
    embeds: tuple[Float[Tensor, " _ d"], ...]
    negatives: tuple[Float[Tensor, " _ d"], ...] | None

    def select(self, texts: Sequence[str]) -> Prompts:
        """Gives these of the texts, in this order and as often as they are named."""
        places = {text: index for index, text in enumerate(self.texts)}
        chosen = [places[text] for text in texts]
        negatives = None if self.negatives is None else tuple(self.negatives[index] for index in chosen)
        return Prompts(tuple(texts), tuple(self.embeds[index] for index in chosen), negatives)


@dataclass(frozen=True)
class Drawing:
    """Settings of the sampler; None takes the checkpoint's own.

    Attributes:
        num_steps: solver steps.
        guidance_scale: in the family's own convention.
        height, width: pixels.
        negative_prompt: used where guidance needs a second call.
        batch_size: pictures drawn at once.
    """

    num_steps: int | None = None
    guidance_scale: float | None = None
    height: int | None = None
    width: int | None = None
    negative_prompt: str = ""
    batch_size: int = 4

    def __post_init__(self) -> None:
        problems = [
            f"evaluation.drawing.{key}={value} must be at least 1"
            for key in ("num_steps", "height", "width", "batch_size")
            if (value := getattr(self, key)) is not None and value < 1
        ]
        if problems:
            raise UserError("pictures cannot be drawn so:\n" + joined(problems))

    def require_drawable(self, denoiser: Denoiser) -> None:
        """Refuses guidance and numbers of steps that spoil a checkpoint's pictures, before anything is loaded.

        Raises:
            UserError: as the family puts it.
        """
        if self.guidance_scale is not None:
            denoiser.guides(self.guidance_scale)
        if self.num_steps is not None:
            multiple = denoiser.size_multiple
            shape = denoiser.latents_shape(height=multiple, width=multiple)
            denoiser.sampling_sigmas(num_steps=self.num_steps, latents_shape=shape)

    def encode(self, denoiser: Denoiser, texts: Sequence[str]) -> Prompts:
        """Embeds prompts, and the negative prompt where it counts; frees the text encoder."""
        self.require_drawable(denoiser)
        scale = denoiser.sampling.guidance_scale if self.guidance_scale is None else self.guidance_scale
        guided = denoiser.guides(scale)
        distinct = list(dict.fromkeys([*texts, *[self.negative_prompt] * guided]))
        embeds = dict(zip(distinct, denoiser.encode_prompts(distinct), strict=True))
        denoiser.release("text_encoder")
        negatives = (embeds[self.negative_prompt],) * len(texts) if guided else None
        return Prompts(tuple(texts), tuple(embeds[text] for text in texts), negatives)

    def draw(
        self, denoiser: Denoiser, prompts: Prompts, *, seeds: Sequence[int], progress: Progress | None = None
    ) -> Float[Tensor, " b 3 height width"]:
        """Draws each prompt with its seed by whatever the transformer is at the moment."""
        return draw(
            denoiser,
            prompt_embeds=prompts.embeds,
            negative_embeds=prompts.negatives,
            seeds=seeds,
            height=self.height,
            width=self.width,
            num_steps=self.num_steps,
            guidance_scale=self.guidance_scale,
            batch_size=self.batch_size,
            progress=progress,
        )

    def draw_base(
        self, denoiser: Denoiser, prompts: Prompts, *, seeds: Sequence[int], progress: Progress | None = None
    ) -> Float[Tensor, " b 3 height width"]:
        """Draws without any adapter."""
        with disabled(denoiser.transformer):
            return self.draw(denoiser, prompts, seeds=seeds, progress=progress)

    def draw_adapter(
        self,
        denoiser: Denoiser,
        path: str | Path,
        *,
        prompts: Prompts,
        seeds: Sequence[int],
        progress: Progress | None = None,
    ) -> Float[Tensor, " b 3 height width"]:
        """Draws with the adapter in the file at `path`, and with no other."""
        with attached(denoiser.transformer, path, foreign_names=denoiser.foreign_names):
            return self.draw(denoiser, prompts, seeds=seeds, progress=progress)
