"""A few-step checkpoint's own pictures, drawn once and kept: what an assistant is trained on.

<root>/pictures/00000.png, metadata.jsonl      pictures with their prompts, a folder like any other data set
<root>/latents, <root>/prompts                 a cache in which each picture has the latents that it was decoded from

Training on that folder with that cache therefore sees what the checkpoint drew, not what the VAE makes of its decoded
picture, and loads no encoder. Picture i has the noise of seed + i; what is there already is not drawn again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from loralab.data.cache import Address, Cache, digest
from loralab.data.encode import PROMPTS_AT_ONCE, latents_address, latents_fingerprint
from loralab.data.fill import Work, fill
from loralab.data.records import Bucket
from loralab.denoiser import Denoiser
from loralab.evaluation.pictures import save_png, to_image
from loralab.evaluation.sampler import Progress, evaluating, guided_velocity, seeded_pictures_noise
from loralab.files import atomic_write, sha256_file
from loralab.flow import euler


@dataclass(frozen=True, kw_only=True)
class OwnPictures:
    """Which pictures a checkpoint draws of itself.

    Attributes:
        root: where they are kept.
        prompts: one for each picture.
        seed: of the first picture's noise.
        batch_size: pictures drawn at once.
    """

    root: Path
    prompts: tuple[str, ...]
    seed: int = 0
    batch_size: int = 4

    @property
    def folder(self) -> Path:
        """The pictures as a data set."""
        return self.root / "pictures"

    def missing(self, denoiser: Denoiser) -> list[int]:
        """Gives the numbers of the pictures that are not there with their latents."""
        cache, fingerprint, bucket = Cache(self.root), latents_fingerprint(denoiser), _bucket(denoiser)
        return [
            index
            for index in range(len(self.prompts))
            if not _is_kept(self._path(index), cache, fingerprint, bucket=bucket)
        ]

    def draw(self, denoiser: Denoiser, *, progress: Progress | None = None) -> int:
        """Draws what is missing at the checkpoint's own steps and guidance; gives how many those were."""
        cache, places = Cache(self.root), self._embedded(denoiser)
        missing = self.missing(denoiser)
        for start in range(0, len(missing), self.batch_size):
            part = missing[start : start + self.batch_size]
            embeds = [cache.read(places[self.prompts[index]]) for index in part]
            self._keep(part, self._latents(denoiser, part, [e for e in embeds if e is not None]), denoiser)
            if progress is not None:
                progress(len(part))
        lines = [
            json.dumps({"file_name": self._path(index).name, "text": prompt}, ensure_ascii=False)
            for index, prompt in enumerate(self.prompts)
        ]
        atomic_write(self.folder / "metadata.jsonl", "\n".join(lines) + "\n")
        return len(missing)

    @torch.no_grad()
    def _latents(
        self, denoiser: Denoiser, part: Sequence[int], embeds: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        sampling = denoiser.sampling
        shape = denoiser.latents_shape(height=sampling.height, width=sampling.width)
        sigmas = denoiser.sampling_sigmas(num_steps=sampling.num_steps, latents_shape=shape)
        noise = seeded_pictures_noise([self.seed + index for index in part], shape=shape)
        velocity = guided_velocity(denoiser, embeds, None, guidance_scale=sampling.guidance_scale)
        with evaluating(denoiser.transformer):
            return euler(velocity, noise.to(denoiser.device), sigmas.to(denoiser.device)).float().cpu()

    def _keep(self, part: Sequence[int], latents: torch.Tensor, denoiser: Denoiser) -> None:
        cache, fingerprint, bucket = Cache(self.root), latents_fingerprint(denoiser), _bucket(denoiser)
        pixels = denoiser.decode_latents(latents).clamp(-1, 1)
        for index, picture, code in zip(part, pixels, latents, strict=True):
            path = save_png(to_image(picture), self._path(index))
            cache.write(latents_address(fingerprint, sha256_file(path), bucket=bucket), code)

    def _embedded(self, denoiser: Denoiser) -> dict[str, Address]:
        """Embeds all prompts, and the empty one that every data set has; gives where they lie."""
        fingerprint = denoiser.prompt_fingerprint()
        places = {text: Address("prompts", fingerprint, digest(text)) for text in ("", *self.prompts)}
        work = Work[str](
            label="encode prompts",
            compute=lambda texts: list(denoiser.encode_prompts(texts)),
            at_once=lambda _: PROMPTS_AT_ONCE,
            release=lambda: denoiser.release("text_encoder"),
        )
        fill(Cache(self.root), work, items=[(address, text) for text, address in places.items()])
        return places

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:05d}.png"


def _bucket(denoiser: Denoiser) -> Bucket:
    return Bucket(height=denoiser.sampling.height, width=denoiser.sampling.width)


def _is_kept(path: Path, cache: Cache, fingerprint: str, *, bucket: Bucket) -> bool:
    if not path.is_file():
        return False
    return cache.read(latents_address(fingerprint, sha256_file(path), bucket=bucket)) is not None
