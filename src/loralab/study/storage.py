"""Where studies live: SQLite, an append-only journal file, or a database server; opened, locked and outlasted.

Everything that decides what comes next happens under one lock per study, so that sweepers on one machine or on many
draw one after the other: no point twice, no trial too many.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from loralab.errors import UserError
from loralab.study.settings import STUDIES

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

Result = TypeVar("Result")
log = logging.getLogger(__name__)
PATIENCE_S = 600.0
"""How long a storage may be away (a server that restarts, a network that blinks) before a sweep gives up."""
FIRST_PATIENCE_S = 10.0
"""The same where nothing has begun yet, and the address may be wrong."""
LONGEST_PAUSE_S = 5.0
BUSY_S = 60.0
"""How long SQLite waits for another writer."""


def storage_url(storage: str | None, *, folder: Path) -> str:
    """Gives the URL of a study's storage, with absolute paths: workers may stand elsewhere."""
    if storage is None:
        return f"sqlite:///{(folder / 'study.db').absolute()}"
    for scheme in ("sqlite:///", "journal:///"):
        if storage.startswith(scheme):
            return scheme + str(Path(storage.removeprefix(scheme)).absolute())
    if "://" not in storage:
        raise UserError(
            f"study.storage={storage} is no URL: use sqlite:///file.db, journal:///file.log, "
            "postgresql+psycopg://user@host/name, or null for a file in the study's folder"
        )
    return storage


def open_storage(url: str, *, patience_s: float = FIRST_PATIENCE_S) -> BaseStorage:
    """Opens a storage, made where there is none.

    Raises:
        UserError: where it cannot be opened.
    """
    from sqlalchemy.exc import SQLAlchemyError

    _quiet_optuna()
    file = file_of(url)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    try:
        if file is not None and url.startswith("journal:"):
            from loralab.study.journal import open_journal

            return open_journal(file)
        return persistently(lambda: _database(url, patience_s=patience_s), patience_s=patience_s)
    except (SQLAlchemyError, ImportError, OSError) as error:
        raise UserError(f"study.storage={hidden(url)} cannot be opened: {error}") from error


def load(
    name: str, *, root: Path = STUDIES, storage: str | None = None, patience_s: float = FIRST_PATIENCE_S
) -> Study:
    """Gives a study that exists.

    Raises:
        UserError: where there is none of this name, with the names that there are.
    """
    import optuna

    url = storage_url(storage, folder=root / name)
    file = file_of(url)
    if file is not None and not file.is_file():
        known = sorted(path.parent.name for path in root.glob("*/study.db")) if storage is None else []
        raise UserError(_no_study(name, known=known, where=str(root) if storage is None else url))
    opened = open_storage(url, patience_s=patience_s)
    known = persistently(lambda: [study.study_name for study in opened.get_all_studies()])
    if name not in known:
        raise UserError(_no_study(name, known=known, where=hidden(url)))
    return persistently(lambda: optuna.load_study(study_name=name, storage=opened))


def trial_of(study: Study, number: int) -> FrozenTrial:
    """Gives one trial as the storage has it now, without reading the others."""
    storage = study._storage
    return storage.get_trial(storage.get_trial_id_from_study_id_trial_number(study._study_id, number))


def has_lock(url: str) -> bool:
    """Says whether a kind of storage has a lock."""
    return file_of(url) is not None or url.startswith("postgresql")


@contextlib.contextmanager
def exclusive(url: str, *, patience_s: float = PATIENCE_S) -> Iterator[Callable[[], None]]:
    """Holds the storage's lock, which a process that dies gives back: a lock file, or the server's advisory lock.

    What it yields raises where the lock has been lost meanwhile, as a server that restarts loses it.
    """
    file = file_of(url)
    if file is not None:
        from filelock import FileLock

        with FileLock(file.with_name(file.name + ".draws.lock")):
            yield lambda: None
    elif has_lock(url):
        with _advisory_lock(url, patience_s=patience_s) as require_lock:
            yield require_lock
    else:  # other servers: draws of several processes may meet; a trial too many is the worst of it
        yield lambda: None


def persistently(action: Callable[[], Result], *, patience_s: float = PATIENCE_S) -> Result:
    """Repeats an action on a storage that is away or busy, at growing intervals."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import InterfaceError, OperationalError

    start, pause = time.monotonic(), 0.2
    while True:
        try:
            return action()
        except (OperationalError, InterfaceError, StorageInternalError) as error:
            if time.monotonic() - start > patience_s:
                raise
            log.warning(
                "the study's storage does not answer, trying again in %.1f s: %s",
                pause,
                _brief(error.__cause__ or error),  # Optuna wraps what happened in words about commits
            )
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)


def hidden(url: str) -> str:
    """Gives a URL without its password, to show."""
    from sqlalchemy.engine import make_url

    return url if file_of(url) else make_url(url).render_as_string(hide_password=True)


def file_of(url: str) -> Path | None:
    """Gives the file of a storage that is one."""
    for scheme in ("sqlite:///", "journal:///"):
        if url.startswith(scheme):
            return Path(url.removeprefix(scheme))
    return None


def _quiet_optuna() -> None:
    """Leaves out what Optuna says about each trial, and that some of its parts (GP, QMC, metric names) may change."""
    import optuna
    from optuna.exceptions import ExperimentalWarning

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=ExperimentalWarning)


def _database(url: str, *, patience_s: float) -> BaseStorage:
    from optuna.storages import RDBStorage

    options: dict[str, Any] = {"pool_pre_ping": True}
    if url.startswith("sqlite:"):
        options["connect_args"] = {"timeout": BUSY_S}
    with exclusive(url, patience_s=patience_s):  # two that open a new database race on its tables
        return RDBStorage(url, engine_kwargs=options)


@contextlib.contextmanager
def _advisory_lock(url: str, *, patience_s: float) -> Iterator[Callable[[], None]]:
    from sqlalchemy import create_engine, text
    from sqlalchemy.pool import NullPool

    key = int.from_bytes(hashlib.sha256(b"loralab study").digest()[:8], "big", signed=True)
    engine = create_engine(url, poolclass=NullPool)
    with persistently(engine.connect, patience_s=patience_s) as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": key})
        yield lambda: connection.execute(text("SELECT 1")).close()  # the lock lives as long as the connection


def _no_study(name: str, *, known: list[str], where: str) -> str:
    near = difflib.get_close_matches(name, known) or sorted(known)[:8]
    there = (
        f"known: {', '.join(near)}" if near else "there is none yet; python train.py -m sweep=... makes one"
    )
    return f"there is no study {name!r} in {where}; {there}"


def _brief(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:200]
