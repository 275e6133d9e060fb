"""Short forms of what Hydra keeps below `hydra`: `launcher=packed`, `launcher.pack=4`."""

from __future__ import annotations

from collections.abc import Sequence

from loralab.errors import UserError

SWEEPS = ("-m", "--multirun", "hydra.mode=MULTIRUN")
GROUP, SETTING = "launcher=", "launcher."


def spelled_out(arguments: Sequence[str]) -> list[str]:
    """Gives the command with its short forms as Hydra knows them.

    Raises:
        UserError: for a launcher of a single run, which has no effect.
    """
    short = [argument for argument in arguments if argument.startswith((GROUP, SETTING))]
    if short and not any(argument in SWEEPS for argument in arguments):
        raise UserError(
            f"{short[0]} has no effect on a single run: it says how a sweep's trials are started. "
            f"Add -m, as in python train.py -m sweep=... {short[0]}, or take it out"
        )
    return [_spelled_out(argument) for argument in arguments]


def _spelled_out(argument: str) -> str:
    if argument.startswith(GROUP):
        return f"hydra/{argument}"
    return f"hydra.{argument}" if argument.startswith(SETTING) else argument
