"""One call of LTX-Video's transformer: from noisy tokens of video and audio to their velocities.

    velocity = noise - data,    timestep = 1000 sigma, for each token

A modality is generated, frozen (given as it is; it is attended to and nothing is predicted) or absent. Tokens that are
given, which are a frozen modality's, conditioned ones and references, are clean and told 0. References stand before
the target, as in the vendor's trainer; where they stand does not matter, since attention knows positions only.

Beside the tokens, the network is told each modality's sigma (0 if it is frozen), which modulates its prompt and opens
the other modality's gate. Its forward pass insists on both modalities: an absent one is one token of zeros, and the
attention between the modalities is off, which makes the answer exactly that of the vendor's network without it. Where
sound is known to be absent before the network is loaded, its branch is left out (`video_only`): the same bits for less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from loralab.families.ltx_video.modulation import own_timesteps
from loralab.families.ltx_video.video_only import VideoTransformer

Role = Literal["generate", "frozen"]


@dataclass(frozen=True)
class Reference:
    """Clean tokens beside a target, such as a control video (IC-LoRA).

    Attributes:
        tokens: packed latents; several references one after the other.
        bounds: where they lie on the target's axes (`positions.reference_bounds`).
    """

    tokens: Float[Tensor, " b m d"]
    bounds: Float[Tensor, " b axes m 2"]


@dataclass(frozen=True)
class Modality:
    """Video or audio, as it is given to the network; `absent` is None in its place.

    Attributes:
        tokens: noisy latents, packed; clean where `conditioned`, and everywhere if frozen.
        bounds: where each token lies (`positions`): seconds, and for video pixels.
        prompt_embeds: what the text connectors make of the prompt for this modality.
        sigma: noise level of each sample; None if the modality is frozen.
        conditioned: which tokens are clean, such as those of a first frame; None for no token.
        reference: tokens to attend to beside these.
    """

    tokens: Float[Tensor, " b n d"]
    bounds: Float[Tensor, " b axes n 2"]
    prompt_embeds: Float[Tensor, " b l width"]
    sigma: Float[Tensor, " b"] | None = None
    conditioned: Bool[Tensor, " b n"] | None = None
    reference: Reference | None = None

    def __post_init__(self) -> None:
        if self.sigma is None and self.conditioned is not None:
            raise ValueError(
                "a frozen modality is clean everywhere; conditioned tokens are for a generated one"
            )

    @property
    def role(self) -> Role:
        """What the network is to do with it."""
        return "frozen" if self.sigma is None else "generate"


class Velocities(NamedTuple):
    """noise - data of the target tokens of what is generated, in fp32; means nothing where they are conditioned."""

    video: Float[Tensor, " b n d"] | None
    audio: Float[Tensor, " b t d_audio"] | None


class _Told(NamedTuple):
    """A modality in the network's own terms, references first."""

    tokens: Tensor
    bounds: Tensor
    prompt_embeds: Tensor
    timestep: Tensor
    sigma: Tensor


def predict(
    transformer: nn.Module,
    *,
    video: Modality | None = None,
    audio: Modality | None = None,
    perturbed_blocks: Sequence[int] = (),
    isolated: bool = False,
) -> Velocities:
    """Predicts the velocities of what is generated, differentiable with respect to an adapter.

    Args:
        transformer: diffusers' `LTX2VideoTransformer3DModel` of LTX-2.3, or for video alone its `VideoTransformer`;
            under autocast if its weights are not fp32.
        video: None if it is absent.
        audio: None if it is absent: no layer of the audio branch then has any effect.
        perturbed_blocks: blocks that pass values on in the place of self-attention, for guidance.
        isolated: leave the attention between the modalities out, for guidance.

    Raises:
        ValueError: if neither is generated, or the network lacks what is asked of it.
    """
    if not any(modality and modality.role == "generate" for modality in (video, audio)):
        raise ValueError("nothing to predict: video or audio must be generated")
    config = cast(Any, transformer).config
    scale = float(config.timestep_scale_multiplier)
    if isinstance(transformer, VideoTransformer):
        if video is None or audio is not None:
            raise ValueError("this network is without its audio branch: it takes video alone")
        return _of_video_alone(transformer, video, scale=scale, perturbed_blocks=perturbed_blocks)
    widths = config.in_channels, config.cross_attention_dim
    audio_widths = config.audio_in_channels, config.audio_cross_attention_dim
    seen = _told(video, scale) if video else _stand_in(cast(Modality, audio), *widths, axes=3)
    heard = _told(audio, scale) if audio else _stand_in(cast(Modality, video), *audio_widths, axes=1)
    with own_timesteps(transformer):
        answers = transformer(
            hidden_states=_followed(seen.tokens) if video else seen.tokens,
            audio_hidden_states=_followed(heard.tokens) if audio else heard.tokens,
            encoder_hidden_states=seen.prompt_embeds,
            audio_encoder_hidden_states=heard.prompt_embeds,
            timestep=seen.timestep,
            audio_timestep=heard.timestep,
            sigma=seen.sigma,
            audio_sigma=heard.sigma,
            video_coords=seen.bounds,
            audio_coords=heard.bounds,
            isolate_modalities=isolated or video is None or audio is None,
            spatio_temporal_guidance_blocks=list(perturbed_blocks),
            use_cross_timestep=True,
            return_dict=False,
        )
    return Velocities(*(_target(*pair) for pair in zip(answers, (video, audio), strict=True)))


def _of_video_alone(
    transformer: VideoTransformer, video: Modality, *, scale: float, perturbed_blocks: Sequence[int]
) -> Velocities:
    told = _told(video, scale)
    answer = transformer(
        _followed(told.tokens),
        bounds=told.bounds,
        prompt_embeds=told.prompt_embeds,
        timestep=told.timestep,
        sigma=told.sigma,
        perturbed_blocks=perturbed_blocks,
    )
    return Velocities(_target(answer, video), None)


def _told(modality: Modality, scale: float) -> _Told:
    """Joins references and target. Where every token has its sample's timestep, it is told once for each sample."""
    tokens, bounds, reference = modality.tokens.float(), modality.bounds, modality.reference
    sigma = tokens.new_zeros(len(tokens)) if modality.sigma is None else modality.sigma.float()
    timestep = sigma
    if modality.role == "generate" and (reference or modality.conditioned is not None):
        timestep = sigma[:, None].expand(tokens.shape[:2])
        if modality.conditioned is not None:
            timestep = timestep.masked_fill(modality.conditioned, 0)
    if reference:
        tokens = torch.cat([reference.tokens.float(), tokens], dim=1)
        bounds = torch.cat([reference.bounds, bounds], dim=2)
        if timestep.ndim > 1:
            timestep = torch.cat([timestep.new_zeros(reference.tokens.shape[:2]), timestep], dim=1)
    return _Told(tokens, bounds, modality.prompt_embeds, scale * timestep, scale * sigma)


def _followed(tokens: Tensor) -> Tensor:
    """Lets the first block's input have a gradient where others' have one: compiled code is then the same for all."""
    return tokens if tokens.requires_grad or not torch.is_grad_enabled() else tokens.detach().requires_grad_()


def _stand_in(other: Modality, channels: int, prompt_width: int, *, axes: int) -> _Told:
    """Gives one token in place of a modality that is absent beside `other`."""
    size, zeros = len(other.tokens), other.bounds.new_zeros
    prompt = other.prompt_embeds.new_zeros(size, 1, prompt_width)
    return _Told(zeros(size, 1, channels), zeros(size, axes, 1, 2), prompt, zeros(size), zeros(size))


def _target(answer: Tensor, modality: Modality | None) -> Tensor | None:
    """Leaves the reference's tokens out, and everything of a modality that is not generated."""
    if modality is None or modality.role == "frozen":
        return None
    return answer[:, -modality.tokens.shape[1] :].float()
