"""Opens the study that a sweep asks for: a new one, or the one that goes on, if it is still the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loralab.errors import UserError, joined
from loralab.study import Space, StudySettings, attrs, hidden, open_storage, persistently
from loralab.study.lengths import KEY as STEPS
from loralab.sweeper.asked import Asked

if TYPE_CHECKING:
    from optuna import Study

FIXED = ("model", "objectives", "constraints", "overrides", "lengths")
"""What trials must share to be compared."""


def opened_study(url: str, *, settings: StudySettings, asked: Asked) -> Study:
    """Gives the study, with its settings written down.

    Raises:
        UserError: where a study of this name is about something else.
    """
    import optuna
    from optuna.study import StudyDirection

    targets = settings.targets
    study = persistently(
        lambda: optuna.create_study(
            study_name=settings.name,
            storage=open_storage(url),
            directions=[StudyDirection[direction.upper()] for direction in targets.values()],
            load_if_exists=True,
        )
    )
    now = _described(settings, asked)
    before = study.user_attrs.get(attrs.SETTINGS)
    if before is not None:
        _require_same(before, now, settings=settings, where=hidden(url))
        _require_compatible(study, asked.plan.space, settings=settings)
    if before != now:
        study.set_user_attr(attrs.SETTINGS, now)
        study.set_metric_names(list(targets))
    return study


def _described(settings: StudySettings, asked: Asked) -> dict[str, Any]:
    texts = asked.typed.texts
    return {
        "name": settings.name,
        "model": str(asked.base.model.name),
        "objectives": settings.targets,
        "constraints": dict(settings.constraints or {}),
        "sampler": settings.sampler,
        "pruner": settings.pruner,
        "design": "search" if asked.plan.searches else "plan",
        "num_trials": settings.num_trials,
        "overrides": asked.shared,
        "space": {key: texts[key] for key in texts},
        "lengths": asked.lengths.to_dict() if asked.lengths else None,
        "recipe": _documented(asked),
        "safety": str(asked.base.safety),
        "widened": list(asked.notes),
        **({} if asked.ablation is None else {"ablation": dict(asked.ablation)}),
    }


def _documented(asked: Asked) -> dict[str, Any]:
    """Gives the documented setting, with its own length where every trial is trained to another."""
    return {**asked.plan.recipe, **({STEPS: int(asked.base.steps)} if asked.lengths else {})}


def _require_same(
    before: dict[str, Any], now: dict[str, Any], *, settings: StudySettings, where: str
) -> None:
    changed = [
        f"{key}: {before.get(key)} there, {now[key]} here" for key in FIXED if before.get(key) != now[key]
    ]
    if changed:
        raise UserError(
            f"study.name={settings.name} in {where} compares other runs:\n"
            + joined(changed)
            + "\nType the command as it was, or begin another study with study.name=..."
        )


def _require_compatible(study: Study, space: Space, *, settings: StudySettings) -> None:
    from optuna.distributions import check_distribution_compatibility

    known = {k: d for trial in study.get_trials(deepcopy=False) for k, d in trial.distributions.items()}
    for key, distribution in space:
        if key in known:
            try:
                check_distribution_compatibility(known[key], distribution)
            except ValueError as error:
                raise UserError(
                    f"study.name={settings.name} has searched {key} in {known[key]}, which cannot become "
                    f"{distribution}: begin another study with study.name=..."
                ) from error
