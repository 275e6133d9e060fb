from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from loralab.config import CONF, RULES, build, built_study, check, digest, resumed
from loralab.errors import UserError


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", list(overrides))


def test_the_default_command_passes_every_rule():
    check(composed())


@pytest.mark.parametrize("model", ["flux2_klein4b", "flux2_klein9b", "zimage_base", "zimage_turbo"])
def test_every_real_model_trains_on_a_folder_with_its_recipe(model):
    config = composed(f"model={model}", "dataset.root=photos/")

    if config.model.variant == "base":
        check(config)
    assert config.adapter.rank == config.model.recipe.rank
    assert config.adapter.alpha == config.adapter.rank
    assert config.optimizer.lr == config.model.recipe.lr
    assert config.steps == config.model.recipe.num_steps
    assert list(config.dataset.resolutions) == [1024]


def test_a_folder_without_a_root_asks_for_one():
    with pytest.raises(UserError, match=r"dataset\.root must be given: add dataset\.root="):
        check(composed("model=flux2_klein9b"))


def test_a_choice_on_the_command_line_beats_the_models_own_dataset():
    assert composed("dataset=folder", "dataset.root=x").dataset.root == "x"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("batch_size=0", "batch_size=0 must be a positive multiple of micro_batch_size"),
        ("micro_batch_size=3", "batch_size=16 must be a positive multiple of micro_batch_size=3"),
        ("steps=0", "steps=0 must be a whole number of at least 1"),
        ("steps=1.5", "steps=1.5 must be a whole number"),
        ("run.save_every=0", "run.save_every=0 must be a whole number"),
        ("run.keep_snapshots=-1", "run.keep_snapshots=-1 must be at least 0"),
        ("run.validation_sigmas=[0.5,1.0]", "1.0 must lie strictly between 0"),
        ("ema_decay=1.0", "ema_decay=1.0 must be at least 0"),
        ("optimizer.lr=-0.001", "optimizer.lr=-0.001 must be a positive number"),
        ("optimizer.lr=fast", "optimizer.lr=fast must be a positive number"),
        ("schedule.warmup_steps=120", "schedule.warmup_steps=120 must be below steps=120"),
        ("+stesp=5", "stesp is no setting"),
        ("+run.save_evry=5", "run.save_evry is no setting"),
        ("safety=careful", "safety=careful is none of strict, warn, off"),
        (
            "safety=false",
            "safety=False is none of strict, warn, off (in a YAML file, off is written in quotes)",
        ),
    ],
)
def test_a_value_outside_its_rule_is_named_with_the_rule(override, message):
    with pytest.raises(UserError) as caught:
        check(composed(override))

    assert message in str(caught.value)


PLAIN = "objective=flow_matching"


@pytest.mark.parametrize(
    ("model", "num_steps", "base"),
    [("flux2_klein9b_distilled", 4, "flux2_klein9b"), ("zimage_turbo", 8, "zimage_base")],
)
def test_plain_velocity_regression_on_a_few_step_model_is_refused_with_both_ways_out(model, num_steps, base):
    with pytest.raises(UserError) as caught:
        check(composed(f"model={model}", PLAIN, "dataset.root=photos/"))

    said = str(caught.value)
    assert f"objective=flow_matching on model={model}" in said
    assert f"at {num_steps} steps blur" in said
    assert "objective=distribution_matching" in said
    assert f"train on model={base}" in said
    assert "allow_dedistill=true" in said


@pytest.mark.parametrize("model", ["flux2_klein9b_distilled", "zimage_turbo"])
def test_dedistilling_can_be_allowed_in_one_word_and_is_logged(model, caplog):
    check(composed(f"model={model}", PLAIN, "dataset.root=photos/", "allow_dedistill=true"))

    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"allow_dedistill=true: flow matching undoes the distillation of model={model}")


@pytest.mark.parametrize(
    "overrides", [("model=flux2_klein9b",), ("model=zimage_turbo", "objective=assistant")]
)
def test_allowing_what_does_not_happen_is_a_setting_without_effect(overrides):
    with pytest.raises(UserError, match="allow_dedistill=true has no effect here"):
        check(composed(*overrides, "dataset.root=photos/", "allow_dedistill=true"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("model=ltx23", "dataset=folder"), "model=ltx23 learns from clips; choose dataset=video_folder"),
        (("model=ltx23", PLAIN), "model=ltx23 learns from clips; choose objective=audio_video_flow"),
        (("dataset=video_folder",), "model=nano_klein learns from pictures; choose dataset=folder or hub"),
        (
            ("model=ltx23_distilled",),
            "Train on model=ltx23 and use the adapter on both, or set allow_dedistill",
        ),
    ],
)
def test_clips_and_pictures_are_not_mixed_and_a_distilled_video_model_is_not_trained(overrides, message):
    with pytest.raises(UserError) as caught:
        check(composed(*overrides, "dataset.root=x"))

    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["ltx23_t2v", "ltx23_union_control", "ltx23_motion_track"])
def test_the_experiments_on_video_pass_every_rule_with_references_of_half_the_sides(name):
    config = composed(f"experiment={name}", "dataset.root=x")

    check(config)
    assert config.model.name == "ltx23" and config.adapter.rank == 32
    assert config.dataset.reference_downscale == (1 if name == "ltx23_t2v" else 2)


def test_what_draws_pictures_is_refused_for_a_model_of_video():
    with pytest.raises(UserError, match="model=ltx23 draws clips"):
        build(composed("model=ltx23", "dataset.root=x", "evaluation=preview"))


def test_an_assistant_may_be_trained_on_a_few_step_model():
    check(composed("model=zimage_turbo", "objective=assistant", "dataset.root=photos/"))


def test_distribution_matching_is_refused_where_there_is_no_distillation_to_keep():
    target = "objective._target_=loralab.objectives.distribution.DistributionMatching"

    with pytest.raises(UserError, match="model=zimage_base is not distilled to few steps"):
        check(composed("model=zimage_base", "dataset.root=photos/", target))


def test_guidance_and_nine_steps_of_later_previews_are_refused_before_training(tiny_zimage_folder: Path):
    turbo = ("model=zimage_turbo", f"model.checkpoint={tiny_zimage_folder}", "dataset.root=photos/")
    turbo = (*turbo, "objective=assistant")

    with pytest.raises(UserError, match=r"guidance_scale=4\.0: zimage_turbo is distilled"):
        build(composed(*turbo, "evaluation.drawing.guidance_scale=4.0"))
    with pytest.raises(UserError, match="num_steps=9: zimage_turbo would make 9 calls"):
        build(composed(*turbo, "evaluation.drawing.num_steps=9"))
    assert build(composed(*turbo, "evaluation.drawing.num_steps=12")).evaluation.drawing.num_steps == 12


def test_a_few_step_study_is_scored_by_what_few_steps_draw():
    settings = built_study(composed("model=zimage_turbo", "dataset.root=photos/"))

    assert settings.targets == {"fewstep.frechet": "minimize"}
    assert not settings.prunes
    assert built_study(composed()).targets == {"validation_loss": "minimize"}
    assert built_study(composed()).prunes


def test_a_few_step_study_by_the_validation_loss_is_refused_with_the_reason():
    named = "study.objectives={validation_loss: minimize}"

    with pytest.raises(UserError, match=r"lowest where the distillation is lost; use fewstep\.frechet"):
        built_study(composed("model=zimage_turbo", "dataset.root=photos/", named))
    assert built_study(composed(named)).targets == {"validation_loss": "minimize"}


def test_a_rate_outside_the_safe_range_is_refused_with_its_source_and_the_way_back():
    with pytest.raises(UserError) as caught:
        check(composed("model=flux2_klein9b", "dataset.root=photos/", "optimizer.lr=1e-3"))

    said = str(caught.value)
    assert "optimizer.lr=0.001 is outside the safe range [2e-05, 0.0001] for flux2_klein9b (source: " in said
    assert said.endswith("). Lower it to 5e-05, or set safety=warn.")


@pytest.mark.parametrize(
    "overrides",
    [
        ("model=zimage_turbo", "adapter.rank=16"),
        ("model=zimage_turbo", "steps=5000"),
        ("model=flux2_klein9b", "steps=3000"),
        ("model=flux2_klein4b", "optimizer=prodigy", "optimizer.lr=1e-4"),
    ],
)
def test_safety_decides_whether_a_value_outside_is_refused_said_or_let_through(overrides, caplog):
    outside = (*overrides, "dataset.root=photos/")
    outside = (*outside, "objective=assistant") if "model=zimage_turbo" in overrides else outside
    caplog.set_level("INFO")

    with pytest.raises(UserError, match="outside the safe range"):
        check(composed(*outside))
    check(composed(*outside, "safety=warn"))
    check(composed(*outside, "safety=off"))

    said = [
        (line.levelname, line.getMessage().partition(overrides[-1].split("=")[0])[0])
        for line in caplog.records
    ]
    assert said == [("WARNING", "safety=warn: "), ("INFO", "safety=off: ")]


@pytest.mark.parametrize(
    "overrides",
    [
        ("model=flux2_klein9b", "steps=2"),
        ("model=flux2_klein9b", "optimizer.lr=1e-6", "adapter.rank=128"),
        ("model=flux2_klein9b", "optimizer=prodigy"),
        ("model=flux2_klein9b", "optimizer=schedule_free", "optimizer.lr=1e-3"),
        ("model=zimage_base", "adapter.alpha=1", "optimizer.lr=3e-4"),
        ("model=flux2_klein9b", "model.name=my_own", "optimizer.lr=1e-3"),
    ],
)
def test_what_harms_nothing_or_has_no_source_is_not_guarded(overrides, caplog):
    check(composed(*overrides, "dataset.root=photos/", "safety=warn"))

    assert not caplog.records


def test_two_averages_at_once_are_refused():
    with pytest.raises(UserError, match="averages by itself"):
        check(composed("optimizer=schedule_free", "ema_decay=0.99"))


def test_an_optimizer_of_matrices_is_refused_for_an_adapter_with_vectors():
    with pytest.raises(UserError, match="takes matrices only"):
        check(composed("optimizer=muon", "adapter=dora"))


def test_all_broken_rules_are_reported_at_once():
    with pytest.raises(UserError) as caught:
        check(composed("steps=0", "ema_decay=2", "batch_size=-1"))

    assert str(caught.value).count("\n  - ") == 3


def test_every_rule_is_listed_once():
    assert len(RULES) == len(set(RULES)) > 5


def test_an_unknown_key_is_an_error():
    with pytest.raises(HydraException, match="rnak"):
        composed("adapter.rnak=4")


def test_the_digest_sees_what_is_trained_and_not_where_it_is_kept():
    assert digest(composed()) == digest(
        composed("cache_root=/elsewhere", "run.log_every=3", "dataset.ram_cache_gib=0")
    )
    assert digest(composed()) == digest(composed("safety=warn"))
    assert digest(composed()) != digest(composed("seed=1"))


def test_a_resumed_command_is_the_runs_own_with_what_is_typed_on_top(tmp_path: Path):
    folder = tmp_path / "with space, and ' quote"
    folder.mkdir()
    OmegaConf.save(OmegaConf.create(["steps=10", "adapter.rank=4"]), folder / "overrides.yaml")

    arguments = resumed([f"run.resume={folder}", "steps=20"])

    assert arguments[:3] == ["steps=10", "adapter.rank=4", "steps=20"]
    assert composed(*arguments[:-1]).run.resume == str(folder)
    assert composed(*arguments[:-1]).steps == 20


def test_resuming_where_no_run_lives_says_so(tmp_path: Path):
    with pytest.raises(UserError, match="no run lives there"):
        resumed([f"run.resume={tmp_path}"])


def test_a_command_without_resume_is_left_alone():
    assert resumed(["steps=3"]) == ["steps=3"]
