"""What figures and pictures are called: the same in metrics.jsonl, on W&B, in TensorBoard and on the pages."""

from __future__ import annotations

VALIDATION, DETECTOR = "validation/loss", "detector/flow_matching"
"""The validation loss; on a few-step model, where it is no score."""
PREVIEW, LOOK, DENSITY = "preview/grid", "watch/pictures", "train/sigma_density"
"""Pictures of a run: before and after, few steps beside many, noise levels drawn in training."""
STUDY_TABLE = "study/trials"
STUDY_JOB = "study"
"""The kind of run on W&B that sums up a study; trials are of no kind."""
STUDY_PICTURES = ("history", "importance", "curves", "pareto")

TITLES = {
    "train/loss": "Training loss (velocity error, unweighted)",
    VALIDATION: "Validation loss (fixed noise): mean and per sigma",
    DETECTOR: "Detector, no score: flow-matching error (fixed noise), falls as few steps are lost",
    "detector/fm_excess": "Detector: flow-matching error above the concept's optimum (few-step models keep about 0.3)",
    "x0/hf": "Detail of few-step latents beside the untouched checkpoint's (alarm outside 0.8 to 1.25)",
    "retain/drift": "Drift of prior prompts at few steps (alarm above 0.15)",
    "retain/nfe_gap": "Detail at many steps over that at few (alarm above 1.3)",
    "train/learning_rate": "Learning rate",
    "train/gradient_norm": "Gradient norm before clipping",
    "train/seconds_per_step": "Seconds per step",
    "update_norm": "Norm of scale·B·A over layers",
}
"""What a group of metrics means, in the order in which a page shows them."""


def validation_of(part: str) -> str:
    """Gives the validation metric of one modality, where the error is a sum over them: `validation/video`."""
    return f"validation/{part}"


def is_validation(group: str) -> bool:
    """Whether a group of metrics is measured on held-out pictures at fixed noise."""
    return group == DETECTOR or group.startswith("validation/")


def at_sigma(name: str, level: str) -> str:
    """Gives the metric of one noise level, `validation/loss_sigma_0.10`."""
    return f"{name}_sigma_{level}"


def group_of(name: str) -> str:
    """Gives the name under which related metrics share a chart."""
    return "update_norm" if name.startswith("update_norm/") else name.split("_sigma_")[0]


def level_of(name: str) -> str | None:
    """Gives the noise level of a metric; None for a mean over all."""
    return name.partition("_sigma_")[2] or None


def study_picture(stem: str) -> str:
    """Gives the name of a study's picture."""
    return f"study/{stem}"


def result(path: str) -> str:
    """Gives the name of a number of result.json, `style.pixel.adapter`; W&B takes dots for nesting."""
    return f"result/{path.replace('.', '/')}"
