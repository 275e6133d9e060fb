"""What can be said of a run before it trains: rules, data, steps, cache. Nothing is encoded, and no weight is loaded.

What one part finds does not keep the others from looking, where they can.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from loralab.config import check, model_arguments
from loralab.data.audit import Finding, Wanted, audited_clips, audited_pictures
from loralab.data.collect import Collection
from loralab.data.dataset import PictureDataset
from loralab.data.encode import cached
from loralab.data.video import VideoDataset
from loralab.data.video.encode import cached_clips
from loralab.denoiser import ClipDenoiser, Denoiser
from loralab.errors import UserError
from loralab.memory import pick_device
from loralab.planning.clips import modalities_of
from loralab.planning.decide import decided
from loralab.planning.epochs import epoch_of, is_open, settled_by

if TYPE_CHECKING:
    from omegaconf import DictConfig

USUAL_MULTIPLE = 16
"""Of Klein's and Z-Image's picture sides, for a checkpoint that is not here yet."""


@dataclass(frozen=True)
class Overview:
    """What was found, in the order in which a run would meet it."""

    findings: tuple[Finding, ...]


def overview(config: DictConfig, *, blur: float) -> Overview:
    """Looks a composed configuration over, and settles what it leaves to the number of pictures.

    Args:
        config: as for train.py; its `steps` and `run.save_every` are numbers afterwards, where pictures can be read.
        blur: sharpness below which pictures are called blurred.
    """
    return Overview((*_rules(config), *_data(config, wanted_of(config, blur=blur))))


def wanted_of(config: DictConfig, *, blur: float) -> Wanted:
    """Gives what the model's recipe asks of its data."""
    recipe = OmegaConf.to_container(config.model.recipe, resolve=True)
    assert isinstance(recipe, dict)
    pictures = recipe.get("pictures")
    return Wanted(
        sentences=recipe.get("captions") == "sentences",
        pictures=None if pictures is None else (pictures[0], pictures[1]),
        framing={str(name): (low, high) for name, (low, high) in (recipe.get("framing") or {}).items()},
        max_length=config.model.get("max_prompt_length"),
        blur=blur,
    )


def _rules(config: DictConfig) -> Iterator[Finding]:
    try:
        check(config)
    except UserError as error:
        yield _error("configuration", error)


def _data(config: DictConfig, wanted: Wanted) -> Iterator[Finding]:
    """Yields what the audit finds, and what follows from the number of pictures."""
    if OmegaConf.is_missing(config.dataset, "root"):
        return
    try:
        dataset, denoiser = _made(config, "dataset"), _made(config, "model")
        if isinstance(dataset, VideoDataset):
            yield from _clips(config, dataset, denoiser, wanted=wanted)
        else:
            yield from _pictures(config, dataset, denoiser, wanted=wanted)
    except UserError as error:
        yield _error("data", error)


def _pictures(
    config: DictConfig, dataset: PictureDataset, denoiser: Any, *, wanted: Wanted
) -> Iterator[Finding]:
    multiple = USUAL_MULTIPLE
    with contextlib.suppress(UserError):
        multiple = denoiser.size_multiple
    collection, found = audited_pictures(dataset, size_multiple=multiple, wanted=wanted)
    yield from found
    if collection.train:
        yield from _settled(config, showings=epoch_of(collection.train))
        yield _cache(config, denoiser, collection)


def _clips(config: DictConfig, dataset: VideoDataset, denoiser: Any, *, wanted: Wanted) -> Iterator[Finding]:
    has_audio = modalities_of(config)[1]
    found = audited_clips(dataset, has_audio=has_audio, wanted=wanted)
    yield from found
    if not any(finding.level == "error" for finding in found):
        collection = dataset.collect(denoiser.size_multiple, has_audio=has_audio)
        yield from _settled(config, showings=epoch_of(collection.train))
        yield _cache(config, denoiser, collection)


def _settled(config: DictConfig, *, showings: int) -> Iterator[Finding]:
    if is_open(config):
        said = "; ".join(settled_by(config, showings=showings))
        yield Finding(kind="epochs", level="note", message=said)


def _cache(config: DictConfig, denoiser: Any, collection: Any) -> Finding:
    """Says how much is encoded already; weights that are not here are not fetched for that."""
    try:
        with _without_network():
            device = pick_device(config.trainer.accelerator)
            placement = decided(config, _made(config, "memory"), denoiser, device=device).placement
            denoiser.place(placement)
            if isinstance(collection, Collection):
                assert isinstance(denoiser, Denoiser)
                counts = cached(collection, denoiser)
            else:
                assert isinstance(denoiser, ClipDenoiser)
                counts = cached_clips(collection, denoiser)
    except UserError as error:
        return Finding(kind="cache", level="note", message=f"not known: {error}")
    said = ", ".join(f"{there} of {all_} {kind}" for kind, (there, all_) in counts.items())
    return Finding(kind="cache", level="note", message=f"{said} are encoded already")


@contextlib.contextmanager
def _without_network() -> Iterator[None]:
    """Keeps the hub's client to what is on this machine."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _made(config: DictConfig, group: str) -> Any:
    """Instantiates one group.

    Raises:
        UserError: for arguments that cannot be.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    try:
        return instantiate(model_arguments(config) if group == "model" else config[group])
    except InstantiationException as error:
        if isinstance(error.__cause__, (ValueError, TypeError)):
            raise UserError(f"{group}: {error.__cause__}") from error
        raise


def _error(kind: str, error: UserError) -> Finding:
    return Finding(kind=kind, level="error", message=str(error))
