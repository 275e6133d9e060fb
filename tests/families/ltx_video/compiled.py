"""Compares gradients of the video's compiled blocks with those of the whole network as it is; prints them as JSON.

A program of its own, since the checks of shapes that pytest adds to every function of ours cannot be compiled.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from tests.families.ltx_video.requests import first_frame, half_reference, video
from tests.families.ltx_video.twins import adapted, gradients
from torch import Tensor

from loralab.families.ltx_video.network import predict
from loralab.memory.compiling import num_graphs


def compared(checkpointing: str) -> dict[str, Any]:
    """Gives the relative error of the gradients, and how many graphs were compiled."""
    torch.manual_seed(0)
    seen = video(conditioned=first_frame(), reference=half_reference())

    def answer(network: Any) -> Tensor:
        velocity = predict(network, video=seen).video
        assert velocity is not None
        return velocity

    exact = gradients(adapted(video_only=False), answer, checkpointing="none")
    found = gradients(adapted(video_only=True), answer, checkpointing=checkpointing, compile=True)
    one, other = (torch.cat([part.flatten() for part in parts.values()]) for parts in (found, exact))
    return {"error": float((one - other).norm() / other.norm()), "graphs": num_graphs()}


if __name__ == "__main__":
    print(json.dumps(compared(sys.argv[1])))
