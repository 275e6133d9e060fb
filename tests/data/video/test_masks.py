from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from loralab.data.video.masks import kept_frames, pool_audio_mask, pool_video_mask
from loralab.errors import UserError


@pytest.mark.parametrize(("frame", "latent"), [(0, 0), (1, 1), (8, 1), (9, 2), (16, 2)])
def test_a_masked_frame_counts_in_the_latent_that_covers_it(frame: int, latent: int) -> None:
    mask = torch.zeros(17, 64, 96)
    mask[frame, :32, 64:] = 1

    pooled = pool_video_mask(mask)

    expected = torch.zeros(3, 2, 3)
    expected[latent, 0, 2] = 1 if frame == 0 else 1 / 8
    assert torch.allclose(pooled, expected)


def test_a_still_mask_keeps_its_shares() -> None:
    mask = torch.zeros(9, 32, 64)
    mask[:, :, :48] = 1

    assert torch.allclose(pool_video_mask(mask), torch.tensor([[1.0, 0.5]]).expand(2, 1, 2))


def test_a_mask_of_another_number_of_frames_is_refused() -> None:
    with pytest.raises(UserError, match=r"a mask of 16 frames cannot be pooled: 8k \+ 1"):
        pool_video_mask(torch.zeros(16, 32, 32))


@pytest.mark.parametrize(("mel", "latent"), [(0, 0), (1, 1), (4, 1), (5, 2), (8, 2)])
def test_sound_is_pooled_causally_too(mel: int, latent: int) -> None:
    level = torch.zeros(9 * 160)
    level[160 * mel : 160 * (mel + 1)] = 1

    pooled = pool_audio_mask(level, num_latents=3)

    expected = torch.zeros(3)
    expected[latent] = 1 if mel == 0 else 1 / 4
    assert torch.allclose(pooled, expected)


def test_behind_the_end_of_an_audio_mask_nothing_is_masked() -> None:
    assert pool_audio_mask(torch.ones(160), num_latents=2).tolist() == [1, 0]


@pytest.mark.parametrize(("frames", "stride", "kept"), [(9, 1, 9), (17, 2, 9), (65, 4, 17), (1, 3, 1)])
def test_a_reference_keeps_its_first_frame_and_then_one_in_so_many(
    frames: int, stride: int, kept: int
) -> None:
    indices = kept_frames(frames, stride=stride, key="reference_stride")

    assert indices[:2] == [0, 1][:kept]
    assert {after - before for before, after in pairwise(indices[1:])} <= {stride}
    assert len(indices) == kept


@pytest.mark.parametrize(("frames", "stride"), [(17, 3), (89, 2), (9, 0)])
def test_a_stride_that_leaves_no_whole_latents_is_refused(frames: int, stride: int) -> None:
    with pytest.raises(UserError, match=f"reference_stride={stride} does not divide {frames} frames"):
        kept_frames(frames, stride=stride, key="reference_stride")
