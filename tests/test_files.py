import os
import subprocess
import sys
from pathlib import Path

from loralab.files import atomic_write, remove_leftovers


def test_what_a_killed_process_was_writing_is_removed_and_what_a_living_one_writes_is_not(
    tmp_path: Path,
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead, living = (tmp_path / f"deep/.a.ckpt.{pid}.0123abcd.tmp" for pid in (gone.pid, os.getpid()))
    foreign = tmp_path / "deep/.mine.tmp"
    for path in (dead, living, foreign):
        path.parent.mkdir(exist_ok=True)
        path.touch()

    removed = remove_leftovers(tmp_path)

    assert removed == [dead]
    assert living.exists() and foreign.exists()


def test_a_name_as_long_as_a_file_may_have_is_written_in_any_alphabet(tmp_path: Path) -> None:
    for name in ("a" * 255, "ä" * 127, "写" * 85):
        assert atomic_write(tmp_path / name, name).read_text() == name
