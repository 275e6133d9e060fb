"""W&B without questions: online where this machine is logged in, otherwise into a folder to be synced later."""

from __future__ import annotations

import logging
import netrc
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from lightning.pytorch.loggers import WandbLogger

from loralab.errors import UserError
from loralab.files import atomic_write

log = logging.getLogger(__name__)
MODES = ("auto", "online", "offline")


@dataclass(frozen=True)
class WandbSettings:
    """How runs appear on W&B.

    Attributes:
        project: collects runs.
        entity: user or team; None is the login's own.
        name: the run's; None is the end of its folder's path.
        group: joins runs within the project; a sweep sets it to the study's name.
        job_type: kind of run within the group.
        tags: labels.
        notes: a remark.
        mode: `auto` goes online where the machine is logged in; WANDB_MODE of the environment comes before
            it.
    """

    project: str = "loralab"
    entity: str | None = None
    name: str | None = None
    group: str | None = None
    job_type: str | None = None
    tags: Sequence[str] = ()
    notes: str | None = None
    mode: str = "auto"
    timeout_s: float = 30

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UserError(f"logger.wandb.mode={self.mode} is not one of {', '.join(MODES)}")

    def build(self, folder: Path) -> WandbLogger:
        """Starts the run, or takes up the one that lives in `folder`; offline when the server cannot be reached."""
        from wandb.errors import CommError, UsageError

        mode = self._mode()
        try:
            return self._started(folder, mode=mode)
        except (CommError, UsageError) as error:
            if mode == "offline":
                raise
            log.warning("W&B cannot be reached (%s); logging offline", error)
            _id_file(folder).unlink()  # W&B's service still holds the id that failed
            return self._started(folder, mode="offline")

    def _mode(self) -> str:
        chosen = os.environ.get("WANDB_MODE") or self.mode
        if chosen == "auto":
            return "online" if is_logged_in() else "offline"
        if chosen == "online" and not is_logged_in():
            raise UserError(
                "logger.wandb.mode=online, but this machine is not logged in to W&B: "
                "run `wandb login`, set WANDB_API_KEY, or use logger.wandb.mode=offline"
            )
        return chosen

    def _started(self, folder: Path, *, mode: str) -> WandbLogger:
        import wandb

        logger = WandbLogger(
            name=self.name or "/".join(folder.absolute().parts[-3:]),
            save_dir=folder,
            id=_run_id(folder),
            project=self.project,
            entity=self.entity,
            group=self.group,
            job_type=self.job_type,
            tags=list(self.tags),
            notes=self.notes,
            resume="allow" if mode == "online" else None,
            reinit="create_new",  # packed trials are runs beside each other in threads of one process
            settings=wandb.Settings(mode=mode, silent=True, console="off", init_timeout=self.timeout_s),
        )
        _ = logger.experiment
        return logger


def is_logged_in() -> bool:
    """Says whether there is a W&B key in the environment or in the user's netrc file."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    import wandb

    file = Path(os.environ.get("NETRC") or Path.home() / ("_netrc" if os.name == "nt" else ".netrc"))
    host = urlparse(wandb.Settings().base_url).hostname or ""
    try:
        return netrc.netrc(file).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def finish(logger: WandbLogger) -> str | None:
    """Ends the run; gives the command that uploads it if it was written offline."""
    run: Any = logger.experiment
    is_offline, folder = run.settings.mode == "offline", Path(run.dir).parent
    run.finish()
    return f"wandb sync '{folder}'" if is_offline else None


def _run_id(folder: Path) -> str:
    """Gives the id of the W&B run of this folder, made at the first call."""
    file = _id_file(folder)
    if not file.exists():
        atomic_write(file, secrets.token_hex(4))
    return file.read_text(encoding="utf-8")


def _id_file(folder: Path) -> Path:
    return folder / "wandb_id.txt"
