"""The way in from Hydra: `python train.py -m ...` becomes a study whose trials are launched."""

from loralab.sweeper.launcher import Processes
from loralab.sweeper.sweep import run_sweep

__all__ = ["Processes", "run_sweep"]
