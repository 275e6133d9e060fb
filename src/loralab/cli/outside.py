"""Configurations from outside the project name no code to run: what Hydra would make of them is checked before it does.

A `_target_` is a function that is called with what stands beside it; `os.system` is one. The targets of the project's
own files in conf/ are known, and so are optimizers of torch and bitsandbytes and the launchers of Hydra's plugins.
Anything else is refused where it comes from a file of another folder (`--config-dir`, `--config-path`, a search path)
or from a run's saved overrides, and taken, with a line in the log, where it was typed in the command itself. Names are
compared whole: a prefix would let `loralab.files.os.system` through.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from loralab.config import CONF
from loralab.errors import UserError, joined

FLAGS = (
    "--config-dir",
    "-cd",
    "--config-path",
    "-cp",
    "--config-name",
    "-cn",
    "hydra.searchpath",
    "+hydra.searchpath",
)
FAMILIES = re.compile(
    r"(torch|bitsandbytes)\.optim\.[A-Z]\w+"
    r"|hydra\._internal\.core_plugins\.basic_(launcher\.BasicLauncher|sweeper\.BasicSweeper)"
    r"|hydra_plugins\.hydra_(joblib|submitit|ray)_launcher\.\w+\.[A-Z]\w*Launcher"
)
WRITTEN = re.compile(r"^[^#\n]*?\b_target_:\s*([\w.]+)", re.MULTILINE)
READS_ENVIRONMENT = re.compile(r"\$\{\s*oc\.(env|decode)\b")
HYDRAS = re.compile(r"[+~]*hydra[./]")
EXECUTED = ("launcher", "sweeper", "callbacks", "job_logging", "hydra_logging", "job.env_set", "job.env_copy")
"""Parts of Hydra's own configuration that name functions, shell commands or variables of later processes."""
log = logging.getLogger("loralab")


def require_known_targets(config: DictConfig, *, typed: Sequence[str]) -> None:
    """Refuses a composed configuration that would call what the project does not know.

    Raises:
        UserError: naming each such key and its target.
    """
    mine = {override.lstrip("+").split("=", 1)[0].replace("@", ".") for override in typed}
    unknown = {key: target for key, target in targets(config) if not is_known(target)}
    for key in unknown.keys() & mine:
        log.warning("%s=%s is no part of loralab, and was typed: it will be called", key, unknown[key])
    problems = [f"{key}={target}" for key, target in unknown.items() if key not in mine]
    if problems:
        raise UserError(
            "this configuration calls what is no part of loralab, which a file from outside may not:\n"
            + joined(problems)
            + "\nRead the file. If you trust it, type these in the command itself."
        )


def check_before_hydra(arguments: Sequence[str]) -> None:
    """Composes a command that reads files of another folder and checks it, Hydra's own part too, which Hydra calls
    first.

    Raises:
        UserError: for an unknown target, and for a file that reads environment variables, where secrets are.
    """
    if not any(argument.startswith(FLAGS) for argument in arguments):
        return
    for overrides in _singles([each for each in arguments if "=" in each and not each.startswith("-")]):
        config = _composed(arguments, overrides)
        if config is None:
            continue  # Hydra says what is wrong with it, and calls nothing
        require_known_targets(config, typed=overrides)
        _require_own_hydra(config, typed=overrides)
        text = OmegaConf.to_yaml(
            OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        )
        typed = " ".join(arguments)
        if READS_ENVIRONMENT.search(text) and not READS_ENVIRONMENT.search(typed):
            raise UserError(
                "this configuration reads environment variables (${oc.env:...}), which a file from outside may not: "
                "they would be written into the run's files. Type the value in the command itself."
            )


def _require_own_hydra(config: DictConfig, *, typed: Sequence[str]) -> None:
    """Refuses other launchers, callbacks, logging and environments than the project's: Hydra runs what they name."""
    own = _composed([], [each for each in typed if HYDRAS.match(each) and "searchpath" not in each])
    for key in EXECUTED:
        here, there = (
            _plain(OmegaConf.select(each or DictConfig({}), f"hydra.{key}")) for each in (config, own)
        )
        if here != there:
            raise UserError(
                f"this configuration changes hydra.{key} to {here}, which a file from outside may not: Hydra runs what "
                "stands there. Type it in the command itself."
            )


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=False) if OmegaConf.is_config(value) else value


def require_harmless(overrides: Sequence[str], *, source: Path) -> None:
    """Refuses saved overrides that name code, flags or settings of Hydra itself.

    Raises:
        UserError: naming the first of them.
    """
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        is_own = key.split(".")[-1].split("@")[0] == "_target_" or "_target_" in value
        if override.startswith("-") or re.match(r"hydra\b", key) or (is_own and not is_known(value)):
            raise UserError(
                f"run.resume: {source} holds {override!r}, which a saved run may not: it names code or options of "
                "Hydra. If you trust it, take it out there and type it in the command itself."
            )


def targets(config: Any, *, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yields the dotted key and the value of every `_target_`, interpolations resolved where they can be."""
    plain = OmegaConf.to_container(config, resolve=False) if OmegaConf.is_config(config) else config
    items = (
        plain.items() if isinstance(plain, Mapping) else enumerate(plain) if isinstance(plain, list) else ()
    )
    for key, value in items:
        path = f"{prefix}{key!s}"
        if key == "_target_":
            yield path, str(value)
        elif isinstance(value, Mapping | list):
            yield from targets(value, prefix=f"{path}.")


def is_known(target: str) -> bool:
    """Says whether the project's own files name this target, or a whole family of them is allowed."""
    return target in known_targets() or FAMILIES.fullmatch(target) is not None


@functools.cache
def known_targets() -> frozenset[str]:
    """Gives every target that conf/ names."""
    texts = (path.read_text(encoding="utf-8") for path in CONF.rglob("*.yaml"))
    return frozenset(target for text in texts for target in WRITTEN.findall(text))


def _singles(overrides: list[str]) -> Iterator[list[str]]:
    """Yields the overrides without sweeps: the first choice of each, and every other choice once."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except OverrideParseException:
        return  # Hydra says so
    choices = []
    for override, text in zip(parsed, overrides, strict=True):
        key = text.split("=", 1)[0]
        is_listed = override.is_choice_sweep()
        choices.append(
            [f"{key}={each}" for each in override.sweep_string_iterator()] if is_listed else [text]
        )
    first = [each[0] for each in choices]
    yield first
    for place, each in enumerate(choices):
        for other in each[1:]:
            yield [*first[:place], other, *first[place + 1 :]]


def _composed(arguments: Sequence[str], overrides: list[str]) -> DictConfig | None:
    """Composes as Hydra will, with its own part; None where that fails."""
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    folder, name = _option(arguments, "--config-path", "-cp"), _option(arguments, "--config-name", "-cn")
    extra = _option(arguments, "--config-dir", "-cd")
    if extra and any("hydra.searchpath" in each for each in overrides):
        raise UserError(
            "--config-dir and hydra.searchpath cannot be checked together: name both folders in the latter"
        )
    added = [f"hydra.searchpath=[{Path(extra).absolute()}]"] if extra else []
    try:
        with initialize_config_dir(str(Path(folder).absolute() if folder else CONF), version_base="1.3"):
            return compose(name or "train", [*overrides, *added], return_hydra_config=True)
    except (HydraException, OmegaConfBaseException, ValueError):
        return None


def _option(arguments: Sequence[str], *names: str) -> str | None:
    """Gives the value of a command-line option, written `--name value` or `--name=value`."""
    for place, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if flag in names:
            return value if equals else next(iter(arguments[place + 1 :]), None)
    return None
