import pytest
from hydra import compose, initialize_config_dir

from loralab.cli.shorthand import spelled_out
from loralab.config import CONF
from loralab.errors import UserError

LAUNCHERS = sorted(file.stem for file in (CONF / "hydra/launcher").glob("*.yaml"))
assert LAUNCHERS


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_launcher_is_chosen_and_set_without_hydras_own_prefix(name: str) -> None:
    typed = spelled_out(["-m", "sweep=nano_klein", f"launcher={name}", "launcher.timeout_s=60"])

    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", typed[1:], return_hydra_config=True)

    assert config.hydra.runtime.choices["hydra/launcher"] == name
    assert config.hydra.launcher.timeout_s == 60
    assert config.sweep == "nano_klein"


@pytest.mark.parametrize("flag", ["-m", "--multirun", "hydra.mode=MULTIRUN"])
def test_everything_else_stays_as_typed(flag: str) -> None:
    typed = [flag, "hydra/launcher=basic", "name=launcher=x", "steps=3"]

    assert spelled_out(typed) == typed


def test_a_launcher_of_a_single_run_is_a_mistake() -> None:
    with pytest.raises(UserError, match=r"launcher=packed has no effect on a single run.*Add -m"):
        spelled_out(["launcher=packed", "steps=3"])
    assert spelled_out(["steps=3"]) == ["steps=3"]
