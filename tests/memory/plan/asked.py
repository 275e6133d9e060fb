"""Klein 9B as a command asks for it, on a GPU that need not be there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig

from loralab.config import CONF, model_arguments

CUDA = torch.device("cuda", 0)


def configured(name: str, klein: Path, *overrides: str) -> tuple[DictConfig, Any, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(name, ["model=flux2_klein9b", f"model.checkpoint='{klein}'", *overrides])
    return config, instantiate(config.memory), instantiate(model_arguments(config))
