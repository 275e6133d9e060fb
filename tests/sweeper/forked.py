"""Runs a program once for each list of arguments, each in a child of one process that has imported everything.

    python forked.py program.py '[["folder", ["argument", ...]], ...]'

What a child says is in `said` of its folder; printed are the exit codes, as a JSON list. Starting Python and importing
is most of what a refused command costs.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path

import loralab.run
import loralab.sweeper  # noqa: F401


def main() -> None:
    """Starts one child after another."""
    program, cases = Path(sys.argv[1]), json.loads(sys.argv[2])
    codes = []
    for folder, arguments in cases:
        child = os.fork()
        if not child:
            _run(program, Path(folder), arguments)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    print(json.dumps(codes))


def _run(program: Path, folder: Path, arguments: list[str]) -> None:
    os.chdir(folder)
    said = os.open("said", os.O_CREAT | os.O_WRONLY)
    os.dup2(said, 1)
    os.dup2(said, 2)
    sys.argv, sys.path[0] = [str(program), *arguments], str(program.parent)
    code: object = 0
    try:
        runpy.run_path(str(program), run_name="__main__")
    except SystemExit as end:
        code = end.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    main()
