import time
from typing import Any

from bench.packed_wave import OUT_OF_TIME, run_wave
from bench.shapes import Case

READY = "import os,sys,pathlib,time; pathlib.Path(sys.argv[1], str(os.getpid())).touch(); "
"""What a case does when it is ready to be timed."""
GOOD = (
    READY
    + """
while len(os.listdir(sys.argv[1])) < int(sys.argv[2]): time.sleep(0.01)
print('ROW {"ms": 7.0}')"""
)
DIES = "print('x' * 100_000); raise MemoryError('so it ended')"
HANGS = "import time; time.sleep(60)"


def measured(*programs: str, limit_s: float = 30.0, stop_after_s: float = 30.0) -> list[dict[str, Any]]:
    wave = [{"case": Case("zimage_turbo"), "width": width} for width in range(len(programs))]
    started = [["-c", program] for program in programs]
    return list(run_wave(wave, started, limit_s=limit_s, end=time.monotonic() + stop_after_s))


def test_one_that_dies_or_hangs_before_it_is_ready_holds_nobody_up() -> None:
    rows = {row["width"]: row for row in measured(GOOD, DIES, HANGS, limit_s=1.0)}

    assert rows[0] == {"ms": 7.0, "width": 0}
    assert rows[1]["failed"].splitlines()[-1] == "MemoryError: so it ended"
    assert len(rows[1]["failed"]) < 2000
    assert rows[2]["failed"] == "not ready after 1 s"
    assert rows[2]["label"] == "bf16, selective"


def test_a_row_is_there_before_the_others_have_ended_and_out_of_time_is_said() -> None:
    rows = measured("print('ROW {}')", READY + HANGS, stop_after_s=1.0)

    assert [row["width"] for row in rows] == [0, 1]
    assert rows[1]["failed"] == OUT_OF_TIME
