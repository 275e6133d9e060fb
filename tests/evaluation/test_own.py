from __future__ import annotations

from pathlib import Path

import pytest
import torch

from loralab.data import FolderSource, PictureDataset, encode
from loralab.data.plan import Draw
from loralab.denoiser import Sampling
from loralab.evaluation import draw
from loralab.evaluation.own import OwnPictures
from loralab.families.z_image import ZImage
from loralab.memory import Placement

PROMPTS = ("a cat", "a robot", "a cat")


@pytest.fixture
def turbo(tiny_zimage_folder: Path) -> ZImage:
    denoiser = ZImage(
        name="turbo",
        checkpoint=str(tiny_zimage_folder),
        sampling=Sampling(num_steps=2, guidance_scale=0.0, height=64, width=64),
        variant="distilled",
        max_prompt_length=16,
    )
    denoiser.place(Placement(torch.device("cpu"), torch.float32))
    return denoiser


def test_training_sees_the_latents_that_were_drawn_and_encodes_nothing(turbo: ZImage, tmp_path: Path) -> None:
    own = OwnPictures(root=tmp_path / "own", prompts=PROMPTS, seed=7, batch_size=2)
    own.draw(turbo)
    dataset = PictureDataset(
        root=str(own.folder), source=FolderSource(), cache_root=str(own.root), resolutions=[64]
    )

    encoded = encode(dataset.collect(turbo.size_multiple), turbo, show_progress=False)

    assert encoded.counts.latents == 3
    assert encoded.counts.latents_encoded == encoded.counts.prompts_encoded == 0
    (robot,) = [record for record in encoded.collection.train if record.caption == "a robot"]
    latents = encoded.batch([Draw(record=robot, bucket=robot.buckets[0], prompt="a robot")], index=0).latents
    drawn = draw(turbo, prompt_embeds=turbo.encode_prompts(PROMPTS[1:2]), negative_embeds=None, seeds=[8])
    torch.testing.assert_close(turbo.decode_latents(latents).clamp(-1, 1), drawn, atol=1e-5, rtol=0)


def test_what_is_there_is_not_drawn_again_and_what_is_lost_is(turbo: ZImage, tmp_path: Path) -> None:
    own = OwnPictures(root=tmp_path, prompts=PROMPTS, seed=0)

    first, second = own.draw(turbo), own.draw(turbo)
    (own.folder / "00001.png").unlink()
    for latents in (tmp_path / "latents").rglob("*.safetensors"):
        latents.unlink()
        break

    assert (first, second) == (3, 0)
    assert 1 in own.missing(turbo)
    assert own.draw(turbo) in (1, 2)
    assert own.missing(turbo) == []


def test_the_same_prompt_twice_gives_two_pictures(turbo: ZImage, tmp_path: Path) -> None:
    own = OwnPictures(root=tmp_path, prompts=PROMPTS, seed=0)

    own.draw(turbo)

    assert (own.folder / "00000.png").read_bytes() != (own.folder / "00002.png").read_bytes()
    assert len((own.folder / "metadata.jsonl").read_text().splitlines()) == 3
