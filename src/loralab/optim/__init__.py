"""How the adapter's weights move: what the optimizers of `conf/optimizer` need besides a constructor, and schedules."""

from loralab.optim.optimizers import adamw_schedule_free, averaged, effective_lr, gradient_norm, scale_lr
from loralab.optim.schedules import Schedule

__all__ = ["Schedule", "adamw_schedule_free", "averaged", "effective_lr", "gradient_norm", "scale_lr"]
