"""Who plays which part: the student on the distilled checkpoint, and score networks on a backbone that regresses.

    student   checkpoint + student
    scores    checkpoint + assistant  + (student | teacher | fake)        with an assistant
              base                    + (student | teacher | fake)        with a second backbone

A distilled network's velocity is no score, so that none of the scores stands on the bare checkpoint. With a second
backbone the student's tensors are shared by both networks: what is trained there is at once what draws here.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from loralab.adapter import LoraSpec, adapter_state, attach
from loralab.adapter.layers import adapter_layers
from loralab.adapter.lora import adapter_parameters, add_lora
from loralab.adapter.roles import ASSISTANT, FAKE, STUDENT, Roles
from loralab.denoiser import Denoiser
from loralab.errors import UserError
from loralab.flow.solver import Velocity
from loralab.objectives.distribution.assistant import assistant_file, require_same_base

if TYPE_CHECKING:
    from loralab.objectives.objective import Surroundings

Embeds = Sequence[Float[Tensor, " _l d"]] | Float[Tensor, " b l d"]


@dataclass(frozen=True)
class Company:
    """Adapters of one network that answer together with `under`, which always does.

    Attributes:
        denoiser: the network.
        roles: switches its adapters.
        under: names that every part stands on.
    """

    denoiser: Denoiser
    roles: Roles
    under: tuple[str, ...] = ()

    def velocity(self, embeds: Embeds, *names: str) -> Velocity:
        """Gives a part's answers, without gradients: what was active before is active again after each call."""

        def answer(noisy: Tensor, sigma: Tensor) -> Tensor:
            with self.roles.active(*self.under, *names), torch.no_grad():
                return self.denoiser.velocity(noisy, sigma=sigma, prompt_embeds=embeds)

        return answer

    def as_it_stands(self, embeds: Embeds) -> Velocity:
        """Gives the answers of whatever is active: inside an `active` block, with gradients."""
        return lambda noisy, sigma: self.denoiser.velocity(noisy, sigma=sigma, prompt_embeds=embeds)


@dataclass(frozen=True)
class Cast:
    """Both companies; they are of one network where an assistant makes the scores."""

    student: Company
    scores: Company

    @property
    def student_parameters(self) -> list[nn.Parameter]:
        """What the run trains and exports."""
        return adapter_parameters(self.student.denoiser.transformer, name=STUDENT)

    @property
    def fake_parameters(self) -> list[nn.Parameter]:
        """What follows the student."""
        return adapter_parameters(self.scores.denoiser.transformer, name=FAKE)

    @torch.no_grad()
    def clear_student(self) -> None:
        """Makes the student change nothing, as a new adapter does."""
        for layer in adapter_layers(self.student.denoiser.transformer, name=STUDENT).values():
            layer.lora_B[STUDENT].weight.zero_()

    def digest(self, *names: str) -> str:
        """Digests the weights of a score network: its base and its adapters."""
        denoiser = self.scores.denoiser
        content = hashlib.sha256(denoiser.identity().base_digest.encode())
        for name in (*self.scores.under, *names):
            for key, tensor in adapter_state(denoiser.transformer, name=name).items():
                content.update(f"{name}/{key}".encode())
                content.update(tensor.contiguous().numpy().tobytes())
        return content.hexdigest()

    def open_stage(self, stage: int) -> None:
        """Sets who answers by default: in stage 1 the student on the score network, in stage 2 on the bare one."""
        if self.scores.denoiser is not self.student.denoiser:
            self.scores.roles.activate(*((STUDENT,) if stage == 1 else ()))
            self.student.roles.activate(STUDENT)
            return
        self.student.roles.activate(*(self.scores.under if stage == 1 else ()), STUDENT)


def cast_for(
    denoiser: Denoiser, surroundings: Surroundings, *, assistant: str | None, parts: dict[str, int | None]
) -> Cast:
    """Adds the other adapters to networks of which the first carries the student.

    Args:
        denoiser: the distilled checkpoint.
        surroundings: of the run; with a `base`, that is where scores are.
        assistant: location of its file, where there is no base.
        parts: names of further adapters on the score network, with their rank, or None for the student's.
    """
    spec = surroundings.adapter
    if spec.use_dora:
        raise UserError(
            "adapter.use_dora=true: here adapters are added up in one layer, and row lengths cannot be. "
            "Set adapter.use_dora=false"
        )
    if spec.dropout and parts:
        raise UserError(
            f"adapter.dropout={spec.dropout}: in the second stage the student learns from what it draws, and would "
            "draw something else without dropout. Set adapter.dropout=0"
        )
    host = surroundings.base or denoiser
    if surroundings.base is not None:
        _share(denoiser.transformer, surroundings.base, spec=spec)
    else:
        assert assistant is not None
        _attach_assistant(denoiser, assistant)
    layers = list(adapter_layers(denoiser.transformer, name=STUDENT))
    for name, rank in parts.items():
        # The scale stays the student's whatever the rank: only the room to learn in differs.
        sized = dataclasses.replace(spec, rank=rank or spec.rank, alpha=_alpha(spec, rank), dropout=0.0)
        add_lora(host.transformer, sized, ranks=dict.fromkeys(layers, sized.rank), name=name)
    return companies(denoiser, host, under=() if surroundings.base is not None else (ASSISTANT,))


def companies(denoiser: Denoiser, host: Denoiser, *, under: tuple[str, ...]) -> Cast:
    """Gives the cast of networks that carry their adapters already, in the first stage; `under` are the scores'."""
    roles = Roles(denoiser.transformer)
    other = roles if host is denoiser else Roles(host.transformer)
    for each in {roles, other}:
        each.train_only(STUDENT, FAKE)
    cast = Cast(Company(denoiser, roles), Company(host, other, under))
    cast.open_stage(1)
    return cast


def _attach_assistant(denoiser: Denoiser, location: str) -> None:
    path = assistant_file(location)
    found = attach(denoiser.transformer, path, foreign_names=denoiser.foreign_names, name=ASSISTANT)
    require_same_base(found.metadata, denoiser.identity(), location=location)


def _share(transformer: nn.Module, base: Denoiser, *, spec: LoraSpec) -> None:
    """Puts the student's own tensors into the base's layers as well."""
    layers = adapter_layers(transformer, name=STUDENT)
    base.transformer.requires_grad_(False)
    add_lora(base.transformer, spec, ranks=dict.fromkeys(layers, spec.rank), name=STUDENT)
    shared = adapter_layers(base.transformer, name=STUDENT)
    if list(shared) != list(layers):
        raise UserError(
            f"objective.base.checkpoint={base.identity().checkpoint} has other layers than the model: "
            "it must be the checkpoint that the model was distilled from"
        )
    for name, layer in layers.items():
        for factor in ("lora_A", "lora_B"):
            getattr(shared[name], factor)[STUDENT].weight = getattr(layer, factor)[STUDENT].weight


def _alpha(spec: LoraSpec, rank: int | None) -> float:
    return spec.alpha if rank is None else spec.alpha * rank / spec.rank


def require_same_encoders(denoiser: Denoiser, base: Denoiser | None) -> None:
    """Latents and embeddings are made by one checkpoint's encoders and read by the other's transformer too."""
    if base is None:
        return
    for what, own, other in (
        ("a VAE", denoiser.pixel_fingerprint(), base.pixel_fingerprint()),
        ("a text encoder", denoiser.prompt_fingerprint(), base.prompt_fingerprint()),
    ):
        if own != other:
            raise UserError(
                f"objective.base.checkpoint={base.identity().checkpoint} has {what} other than that of "
                f"{denoiser.identity().checkpoint}: it must be the checkpoint that the model was distilled from"
            )
