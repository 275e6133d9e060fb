"""What every objective gives to the run around it, whatever it minimises."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, runtime_checkable

import lightning
import torch
from jaxtyping import Float
from torch import Tensor

from loralab.data.batch import AnyBatch
from loralab.denoiser import Model
from loralab.flow import SigmaSampler, interpolate, seeded_noise, target_velocity
from loralab.objectives.loss import velocity_loss

if TYPE_CHECKING:
    from loralab.adapter import LoraSpec
    from loralab.data import EncodedDataset
    from loralab.data.batch import Batch
    from loralab.data.collect import Collection
    from loralab.data.video import EncodedClips
    from loralab.denoiser import Denoiser

ModelT = TypeVar("ModelT", bound=Model)
LOSS = "loss"
"""What `Objective.validation_errors` calls the sum of its parts."""
VALIDATION_SEED = 20_200
"""Validation noise belongs to the measure, not to the run: the same number for every run and seed."""

OptimizerFactory = Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer]
ScheduleFactory = Callable[..., torch.optim.lr_scheduler.LRScheduler]
"""Takes an optimizer, and `num_steps` where the rate shall fall over fewer steps than the run has."""


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a run knows and an objective may need once the pictures are encoded.

    Attributes:
        encoded: pictures or clips, and prompts.
        folder: of the run.
        cache_root: what other runs can use as well is kept there.
        num_steps: optimizer updates of the run.
        micro_batch_size: pictures of one forward pass.
        accumulate: micro-batches of one update.
        clip: largest norm of a gradient, or None.
        adapter: what the trained adapter looks like.
        held: how the base is held, in a few words: what is drawn depends on it a little.
        base: a second checkpoint of the family, not distilled, or None.
        prompts: those that `Planned.planned_prompts` gave.
    """

    encoded: EncodedDataset | EncodedClips
    folder: Path
    cache_root: Path
    num_steps: int
    micro_batch_size: int
    accumulate: int
    clip: float | None
    adapter: LoraSpec
    held: str
    base: Denoiser | None
    prompts: tuple[str, ...]

    @property
    def pictures(self) -> EncodedDataset:
        """What was encoded, for an objective that takes pictures."""
        from loralab.data import EncodedDataset

        assert isinstance(self.encoded, EncodedDataset)
        return self.encoded

    def shown(self) -> tuple[tuple[str, tuple[int, int, int]], ...]:
        """Gives every training prompt with every shape of latents in which its picture is shown."""
        shapes = self.pictures.places.shapes
        return tuple(
            (prompt, shapes[bucket])
            for record in self.pictures.collection.train
            for prompt in record.prompts
            for bucket in record.buckets
        )


@runtime_checkable
class Planned(Protocol):
    """The settings of an objective that is to be asked before anything is encoded."""

    def planned_prompts(
        self, collection: Collection, *, trigger: str | None, num_steps: int
    ) -> tuple[str, ...]:
        """Gives prompts to encode besides the captions; raises a UserError for what cannot become a run."""
        ...


class Objective(lightning.LightningModule, abc.ABC, Generic[ModelT]):
    """Trains the adapter inside a denoiser's transformer."""

    def __init__(self, denoiser: ModelT, *, sigmas: SigmaSampler, seed: int) -> None:
        """Takes a denoiser whose transformer already carries the adapter that is trained."""
        super().__init__()
        self.denoiser = denoiser
        self.transformer = denoiser.transformer
        self.sigmas = sigmas
        self.seed = seed
        self.strict_loading = False
        self.train()  # loaded networks are in evaluation mode, in which the adapter's dropout is off

    @abc.abstractmethod
    def prepare(self, surroundings: Surroundings) -> None:
        """Is called once before training."""

    @property
    @abc.abstractmethod
    def judged(self) -> ModelT:
        """Gives what validation measures, as its adapters stand."""

    @property
    @abc.abstractmethod
    def teacher_name(self) -> str | None:
        """Names the adapter of a frozen concept teacher inside the transformer; None where there is none."""

    @property
    @abc.abstractmethod
    def judged_from(self) -> int:
        """Gives the step after which the adapter alone is what it is to become; 0 where it always is."""

    @property
    @abc.abstractmethod
    def reference_names(self) -> tuple[str, ...]:
        """Names the adapters that together are the concept's flow-matching optimum; empty where there are none."""

    @abc.abstractmethod
    def readings(self) -> dict[str, float]:
        """Gives the newest signals that a watch judges by, as far as the objective has such."""

    @abc.abstractmethod
    def validation_errors(
        self, batch: Any, *, levels: Sequence[float]
    ) -> dict[str, Float[Tensor, " num_levels b"]]:
        """Gives each sample's error at each noise level, on noise that is fixed by its content, without gradients.

        It is called `LOSS`; where it is a sum, its parts are there beside it under names of their own.
        """

    def transfer_batch_to_device(
        self, batch: AnyBatch, device: torch.device, dataloader_idx: int
    ) -> AnyBatch:
        """Moves a batch as its own class does it; to a GPU while the host goes on."""
        moved: AnyBatch = batch.to(device, non_blocking=device.type == "cuda")
        return moved

    def _apply(self, fn: Any, recurse: bool = True) -> Objective[ModelT]:
        """Leaves the networks where their placement has put them.

        The trainer moves a module to its device and back to the CPU afterwards: blocks whose weights wait in main
        memory would all come to the device at once.
        """
        return self


@torch.no_grad()
def picture_errors(
    denoiser: Denoiser, batch: Batch, *, levels: Sequence[float]
) -> Float[Tensor, " num_levels b"]:
    """Gives each picture's error at each noise level, on noise that is fixed by its content."""
    noise = validation_noise(batch)
    sigmas = [torch.full((len(noise),), level, device=noise.device) for level in levels]
    return torch.stack([velocity_errors(denoiser, batch, noise=noise, sigma=sigma) for sigma in sigmas])


def velocity_errors(
    denoiser: Denoiser, batch: Batch, *, noise: Float[Tensor, " b c h w"], sigma: Float[Tensor, " b"]
) -> Float[Tensor, " b"]:
    """Gives each sample's flow-matching error at its sigma, inside its mask."""
    noisy = interpolate(batch.latents, noise, sigma)
    velocity = denoiser.velocity(noisy, sigma=sigma, prompt_embeds=batch.prompt_embeds)
    return velocity_loss(velocity, target_velocity(batch.latents, noise), mask=batch.mask)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Copies to the device; to a GPU from page-locked memory, since the host would wait for any other copy."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def validation_noise(batch: Batch) -> Float[Tensor, " b c h w"]:
    """Gives noise that is fixed by each picture's content, on the batch's device."""
    noise = fixed_noise(batch.latents.shape[1:], keys=batch.keys, stream="validation")
    return sent(noise, batch.latents.device)


def fixed_noise(shape: Sequence[int], *, keys: Sequence[str], stream: str) -> Float[Tensor, " b ..."]:
    """Gives noise of a shape for each key, which it alone decides; on the CPU."""
    drawn = [seeded_noise(shape, seed=VALIDATION_SEED, stream=f"{stream}/{key}", index=0) for key in keys]
    return torch.stack(drawn)
