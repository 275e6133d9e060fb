"""Requests of a tiny size, and what the oracle makes of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from tests.families.ltx_video.oracle import Given, Oracle
from tests.tiny_ltx import AUDIO_PROMPT_WIDTH, AUDIO_WIDTH, CHANNELS, PROMPT_WIDTH
from torch import Tensor, nn

from loralab.families.ltx_video.network import Modality, Reference
from loralab.families.ltx_video.positions import audio_bounds, reference_bounds, video_bounds
from loralab.families.ltx_video.tokens import Grid, reference_grid

GRID, NUM_SOUNDS = Grid(3, 2, 4), 9
FPS = torch.tensor([24.0, 30.0])
SIGMA, AUDIO_SIGMA = torch.tensor([0.3, 0.8]), torch.tensor([0.6, 0.1])


def video(**changes: Any) -> Modality:
    made = Modality(
        tokens=torch.randn(2, GRID.num_tokens, CHANNELS),
        bounds=video_bounds(GRID, FPS),
        prompt_embeds=torch.randn(2, 5, PROMPT_WIDTH),
        sigma=SIGMA,
    )
    return dataclasses.replace(made, **changes)


def audio(**changes: Any) -> Modality:
    made = Modality(
        tokens=torch.randn(2, NUM_SOUNDS, AUDIO_WIDTH),
        bounds=audio_bounds(NUM_SOUNDS, batch_size=2),
        prompt_embeds=torch.randn(2, 5, AUDIO_PROMPT_WIDTH),
        sigma=AUDIO_SIGMA,
    )
    return dataclasses.replace(made, **changes)


def first_frame() -> Tensor:
    """Conditions the first clip of the batch on its first frame, and leaves the second to its prompt."""
    conditioned = torch.zeros(2, GRID.num_tokens, dtype=torch.bool)
    conditioned[0, : GRID.height * GRID.width] = True
    return conditioned


def half_reference() -> Reference:
    """A reference of half the sides."""
    grid = reference_grid(GRID, spatial_factor=2)
    return Reference(
        tokens=torch.randn(2, grid.num_tokens, CHANNELS), bounds=reference_bounds(grid, FPS, spatial_factor=2)
    )


def oracle_of(transformer: nn.Module) -> Oracle:
    """Gives the oracle on a network's weights, in float64."""
    weights = {name: tensor.double() for name, tensor in transformer.state_dict().items()}
    return Oracle(weights, widths=(PROMPT_WIDTH, AUDIO_PROMPT_WIDTH), num_layers=2)


def given(modality: Modality) -> Given:
    """Says a request in the oracle's words: references first, and a sigma for every token."""
    sigma = torch.zeros(2) if modality.sigma is None else modality.sigma
    token_sigma = sigma[:, None].repeat(1, modality.tokens.shape[1])
    if modality.conditioned is not None:
        token_sigma[modality.conditioned] = 0
    tokens, bounds = modality.tokens, modality.bounds
    if modality.reference:
        tokens = torch.cat([modality.reference.tokens, tokens], dim=1)
        bounds = torch.cat([modality.reference.bounds, bounds], dim=2)
        token_sigma = torch.cat([torch.zeros(modality.reference.tokens.shape[:2]), token_sigma], dim=1)
    return Given(*(part.double() for part in (tokens, token_sigma, sigma, bounds, modality.prompt_embeds)))
