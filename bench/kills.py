"""Kills runs with SIGKILL at random moments of every phase, resumes them, and compares what comes out.

    nice python bench/kills.py --kills 200 --out docs/kills.json

A run is a tiny Klein (tests/tiny.py) with dropout, a moving average and previews, from pictures to page. Every process
is forked from one that has imported everything, so that the moments fall on work. A moment is the n-th time that the
run comes into a phase, and a random share of how long that phase took when nobody disturbed it. After every kill each
file under its final name must be whole; the same command, or `run.resume`, then goes on, and may be killed again. At
the end the adapter must equal the undisturbed run's, byte for byte. Results are kept as they come: the same command
adds to them.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import mmap
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

PHASES = ("opening", "encoding", "writing the cache", "training", "saving", "exporting", "reporting")
MOST_KILLS = 4
"""Kills of one run before it is let through to its end."""
SETTINGS = (
    "steps=12",
    "batch_size=2",
    "micro_batch_size=1",
    "run.save_every=3",
    "run.keep_snapshots=2",
    "run.validate_every=4",
    "dataset.validation_fraction=0.3",
    "dataset.caption_dropout=0.2",
    "adapter.dropout=0.3",
    "ema_decay=0.9",
    "evaluation=preview",
    "evaluation.style=null",
    "evaluation.previews.num_prompts=2",
    "evaluation.drawing.guidance_scale=1.0",
)


class Marks:
    """The phase that a process is in and how often it came into each: memory that parent and child share."""

    def __init__(self) -> None:
        """Starts outside of every phase."""
        self._memory = mmap.mmap(-1, 1 + 4 * len(PHASES))
        self.reset()

    def reset(self) -> None:
        """Forgets what an earlier process did."""
        self._memory[:] = b"\xff" + bytes(4 * len(PHASES))

    @property
    def now(self) -> int:
        """The phase's place in PHASES, or 255."""
        return self._memory[0]

    @now.setter
    def now(self, phase: int) -> None:
        self._memory[0] = phase

    def count(self, phase: int) -> int:
        """Gives how often it was entered."""
        return int.from_bytes(self._memory[1 + 4 * phase : 5 + 4 * phase], "little")

    @contextlib.contextmanager
    def inside(self, phase: int, times: dict[int, list[float]]) -> Iterator[None]:
        """Marks the block; notes how long it took."""
        outer, started = self.now, time.perf_counter()
        self._memory[1 + 4 * phase : 5 + 4 * phase] = (self.count(phase) + 1).to_bytes(4, "little")
        self.now = phase
        try:
            yield
        finally:
            self.now = outer
            times.setdefault(phase, []).append(time.perf_counter() - started)


@dataclass
class Tally:
    """What was found so far.

    Attributes:
        kills: by the phase in which the process died.
        runs: that came to their end; same: with the undisturbed run's adapter.
        faults: what was not as it should be, in words.
    """

    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    same: int = 0
    leftovers: int = 0
    faults: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """Gives what is written down."""
        by_phase = {phase: self.kills[phase] for phase in (*PHASES, "between")}
        return {
            "kills": by_phase,
            "total": self.kills.total(),
            **{k: v for k, v in vars(self).items() if k != "kills"},
        }

    @classmethod
    def read(cls, path: Path) -> Tally:
        """Goes on from an earlier call."""
        if not path.is_file():
            return cls()
        known = json.loads(path.read_text())
        return cls(Counter(known["kills"]), known["runs"], known["same"], known["leftovers"], known["faults"])


def main() -> None:
    """Kills until there are as many kills as asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    tally, marks = Tally.read(arguments.out), Marks()
    source = random.Random(f"{arguments.seed} {tally.kills.total()}")
    with tempfile.TemporaryDirectory() as scratch:
        stage = Stage(Path(scratch), marks)
        lengths = stage.undisturbed()
        print(
            {PHASES[phase]: (len(each), round(sum(each), 3)) for phase, each in lengths.items()}, flush=True
        )
        while tally.kills.total() < arguments.kills:
            disturbed(stage, tally, lengths=lengths, source=source)
            arguments.out.write_text(json.dumps(tally.plain(), indent=2) + "\n")
            print(tally.plain(), flush=True)


def disturbed(stage: Stage, tally: Tally, *, lengths: dict[int, list[float]], source: random.Random) -> None:
    """Kills one run up to MOST_KILLS times, lets it end and compares."""
    folder = stage.fresh()
    for _ in range(source.randint(1, MOST_KILLS)):
        phase = min(lengths, key=lambda each: (tally.kills[PHASES[each]], source.random()))
        entry, share = source.randint(1, len(lengths[phase])), source.random()
        wait_s = share * sum(lengths[phase]) / len(lengths[phase])
        died_in = stage.killed(folder, phase=phase, entry=entry, wait_s=wait_s)
        if died_in is None:
            break
        tally.kills[died_in] += 1
        tally.faults += [f"after a kill while {died_in}: {fault}" for fault in stage.torn(folder)]
    code = stage.ended(folder)
    if code:
        tally.faults.append(f"exit status {code}: {stage.log(folder)[-600:]}")
        return
    tally.runs += 1
    tally.leftovers += sum(1 for path in (folder / "run").rglob(".*.tmp"))
    if (folder / "run/adapter.safetensors").read_bytes() == stage.expected:
        tally.same += 1
    else:
        tally.faults.append(f"another adapter than the undisturbed run's: {folder}")
    shutil.rmtree(folder)


class Stage:
    """Where runs are started, killed and looked at."""

    def __init__(self, scratch: Path, marks: Marks) -> None:
        """Makes the checkpoint and the pictures."""
        self._scratch, self._marks, self._number = scratch, marks, 0
        self.expected = b""
        from tests.tiny import save_klein
        from tests.training.runs import save_pictures

        if self._child(lambda: save_klein(scratch / "klein"), log=scratch / "klein.log"):
            raise SystemExit((scratch / "klein.log").read_text())
        save_pictures(scratch / "pictures", count=8)
        importing()

    def undisturbed(self) -> dict[int, list[float]]:
        """Runs once and gives how long each phase took, each time; keeps the adapter."""
        folder = self.fresh()
        if self.ended(folder):
            raise SystemExit(self.log(folder))
        self.expected = (folder / "run/adapter.safetensors").read_bytes()
        known = json.loads((folder / "times.json").read_text())
        return {int(phase): times for phase, times in known.items()}

    def fresh(self) -> Path:
        """Makes a folder for a run with a cache of its own."""
        self._number += 1
        folder = self._scratch / f"{self._number}"
        folder.mkdir()
        return folder

    def ended(self, folder: Path) -> int:
        """Runs, or goes on, to the end; gives the exit status."""
        return self._child(functools.partial(self._run, folder), log=folder / "log")

    def killed(self, folder: Path, *, phase: int, entry: int, wait_s: float) -> str | None:
        """Kills a run in a phase; gives the phase in which it died, None if it ended before."""

        def strike(pid: int) -> None:
            while self._marks.count(phase) < entry:
                if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    return
                time.sleep(0.0002)
            time.sleep(wait_s)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

        code = self._child(functools.partial(self._run, folder), log=folder / "log", strike=strike)
        if code == -signal.SIGKILL:
            now = self._marks.now
            return PHASES[now] if now < len(PHASES) else "between"
        return None

    def log(self, folder: Path) -> str:
        """Gives what the run said."""
        return (folder / "log").read_text(errors="replace")

    def torn(self, folder: Path) -> list[str]:
        """Names every file under a final name that is not whole."""
        found = (torn(path) for path in sorted(folder.rglob("*")) if path.is_file())
        return [fault for fault in found if fault]

    def _run(self, folder: Path) -> None:
        from tests.training.runs import tiny_config

        from loralab.run import run

        times: dict[int, list[float]] = {}
        marked(self._marks, times)
        config = tiny_config(
            self._scratch / "klein", self._scratch / "pictures", *SETTINGS, cache=folder / "cache"
        )
        if (folder / "run/config.yaml").is_file():
            config.run.resume = str(folder / "run")
        run(config, root=folder / "run", overrides=[])
        (folder / "times.json").write_text(json.dumps(times))

    def _child(
        self, work: Callable[[], object], *, log: Path, strike: Callable[[int], None] | None = None
    ) -> int:
        """Does the work in a fork of this process; gives its exit status, negative for a signal."""
        self._marks.reset()
        pid = os.fork()
        if pid == 0:
            file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(file, 1)
            os.dup2(file, 2)
            code = 1
            try:
                work()
                code = 0
            except BaseException:  # whatever it is goes to the log: a fork never runs on as its parent
                import traceback

                traceback.print_exc()
            finally:
                os._exit(code)
        if strike is not None:
            strike(pid)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def importing() -> None:
    """Imports what a run imports, so that forked ones need not."""
    import diffusers
    import lightning
    import schedulefree
    import transformers  # noqa: F401
    from diffusers import AutoencoderKLFlux2, Flux2KleinPipeline, Flux2Transformer2DModel  # noqa: F401
    from transformers import Qwen2TokenizerFast, Qwen3ForCausalLM  # noqa: F401

    import loralab.families.flux2_klein
    import loralab.run  # noqa: F401

    assert diffusers and lightning and schedulefree


def marked(marks: Marks, times: dict[int, list[float]]) -> None:
    """Lets the functions of each phase say when they are at work."""
    import loralab.run.experiment as experiment
    import loralab.run.training as training
    import loralab.training.snapshots as snapshots
    from loralab.data import cache

    places: tuple[tuple[Any, str, str], ...] = (
        (experiment, "_opened", "opening"),
        (experiment, "encoded_for", "encoding"),
        (cache.Cache, "write", "writing the cache"),
        (experiment, "trained", "training"),
        (snapshots.Snapshots, "_save", "saving"),
        (snapshots, "export_adapter", "exporting"),
        (training, "atomic_write", "exporting"),
        (experiment, "_evaluated", "reporting"),
        (experiment, "_finished", "reporting"),
    )
    for owner, name, phase in places:
        setattr(owner, name, _marking(getattr(owner, name), marks, PHASES.index(phase), times))


def _marking(
    function: Callable[..., Any], marks: Marks, phase: int, times: dict[int, list[float]]
) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapped(*arguments: Any, **keywords: Any) -> Any:
        with marks.inside(phase, times):
            return function(*arguments, **keywords)

    return wrapped


def torn(path: Path) -> str | None:
    """Says what is wrong with a file under its final name; temporary files may be anything."""
    if path.name.endswith(".tmp") or path.name in ("log", "times.json"):
        return None
    try:
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, framework="numpy") as file:
                for key in file.keys():  # noqa: SIM118
                    file.get_tensor(key)
        elif path.suffix == ".ckpt":
            import zipfile

            if (bad := zipfile.ZipFile(path).testzip()) is not None:
                return f"{path.name}: {bad} is damaged"
        elif path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".yaml":
            import yaml

            if yaml.safe_load(path.read_text()) is None:
                return f"{path.name}: empty"
        elif path.suffix == ".png":
            from PIL import Image

            Image.open(path).load()
        elif path.suffix == ".html" and not path.read_text().rstrip().endswith("</html>"):
            return f"{path.name}: cut off"
    except Exception as error:
        return f"{path.name}: {error}"
    return None


if __name__ == "__main__":
    main()
