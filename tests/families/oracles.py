"""Networks that answer perfectly in their own convention, so that any error is the family's."""

from __future__ import annotations

from torch import Tensor, nn


class KleinOracle(nn.Module):
    """Told sigma and packed tokens; answers noise - data. Knows the data, reads the noise off its input."""

    def __init__(self, latents: Tensor) -> None:
        super().__init__()
        self.tokens = latents.reshape(*latents.shape[:2], -1).permute(0, 2, 1)
        self.told: dict[str, Tensor] = {}

    def forward(
        self, *, hidden_states: Tensor, timestep: Tensor, return_dict: bool, **rest: Tensor
    ) -> tuple[Tensor]:
        self.told = {"timestep": timestep, "hidden_states": hidden_states, **rest}
        sigma = timestep.view(-1, 1, 1)
        noise = (hidden_states - (1 - sigma) * self.tokens) / sigma
        return (noise - self.tokens,)


class ZImageOracle(nn.Module):
    """Told 1 - sigma and lists of pictures with a frame axis; answers data - noise."""

    def __init__(self, latents: Tensor) -> None:
        super().__init__()
        self.latents = latents
        self.told: dict[str, object] = {}

    def forward(
        self, pictures: list[Tensor], clock: Tensor, prompts: list[Tensor], *, return_dict: bool
    ) -> tuple[list[Tensor]]:
        self.told = {"clock": clock, "prompts": prompts, "pictures": pictures}
        answers = []
        for picture, cleanness, data in zip(pictures, clock, self.latents[:, :, None], strict=True):
            noise = (picture - cleanness * data) / (1 - cleanness)
            answers.append(data - noise)
        return (answers,)
