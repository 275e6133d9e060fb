"""A PostgreSQL server of its own, from the distribution's packages, in a folder that goes with it."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

FOUND = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
ABSENT = "no PostgreSQL server is installed (initdb and pg_ctl; Debian's package is called postgresql)"


def binaries() -> Path | None:
    """Gives the folder of the newest server's programs; None where there is none."""
    inside = [Path(found).resolve().parent for name in ("initdb",) if (found := shutil.which(name))]
    return next((path for path in [*reversed(FOUND), *inside] if (path / "pg_ctl").is_file()), None)


class Server:
    """A server on a free port of this machine; it refuses to run as root, so that it runs as somebody else then."""

    def __init__(self, *, is_durable: bool = False) -> None:
        """Makes its folder and starts it; what need not outlive a crash of the machine need not wait for the disk."""
        programs = binaries()
        if programs is None:
            raise FileNotFoundError(ABSENT)
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
        self._as = _somebody_else()
        if self._as:
            os.chown(self._folder, self._as["user"], self._as["group"])
        self._port, self._fsync = _free_port(), "on" if is_durable else "off"
        self._data = self._folder / "data"
        self._call(
            "initdb", "-D", self._data, "-U", "loralab", "--auth=trust", "--encoding=UTF8", "--no-sync"
        )
        self.start()

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        options = f"-p {self._port} -k {self._folder} -c listen_addresses=127.0.0.1 -c fsync={self._fsync}"
        self._control("start", "-o", options, "-l", str(self._folder / "log"))

    def stop(self, how: str = "immediate") -> None:
        """Stops it; `immediate` is a crash: all connections break."""
        self._control("stop", "-m", how)

    def restart(self, how: str = "immediate") -> None:
        """Stops it and starts it again."""
        self._control("restart", "-m", how, "-l", str(self._folder / "log"))

    def remove(self) -> None:
        """Stops it and removes its folder."""
        self.stop()
        shutil.rmtree(self._folder)

    def database(self, name: str) -> str:
        """Makes an empty database; gives its URL for a study."""
        self.query(f'CREATE DATABASE "{name}"')
        return f"postgresql+psycopg://loralab@127.0.0.1:{self._port}/{name}"

    def drop_connections(self, name: str) -> int:
        """Breaks all connections to a database; gives how many there were."""
        found = self.query(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        return len(found)

    def query(self, text: str) -> list[tuple[Any, ...]]:
        """Asks the server itself."""
        import psycopg

        with psycopg.connect(
            host="127.0.0.1", port=self._port, user="loralab", dbname="postgres", autocommit=True
        ) as connection:
            cursor = connection.execute(text.encode())
            return cursor.fetchall() if cursor.description else []

    def _control(self, action: str, *options: str) -> None:
        self._call("pg_ctl", "-D", self._data, "-w", "-t", "60", *options, action)

    def _call(self, program: str, *arguments: str | Path) -> None:
        with tempfile.TemporaryFile() as output:  # no pipe: the server would hold its other end
            command = [str(self._programs / program), *map(str, arguments)]
            code = subprocess.run(
                command, stdout=output, stderr=output, cwd="/", check=False, **self._as
            ).returncode
            if code:
                output.seek(0)
                raise RuntimeError(f"{program} ended with {code}: {output.read().decode()}")


def _somebody_else() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = known.get("postgres") or known["nobody"]
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
