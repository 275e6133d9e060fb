"""Feeds everything that is read from downloads with what a coverage-guided fuzzer makes up, and keeps what breaks it.

    pip install atheris
    nice python bench/fuzz.py --minutes 60 --out outputs/fuzz

A reader may give what it read, or the error with which it refuses a file (UserError, UnusableError). Everything else is
a finding: another exception, a case that takes longer than a few seconds, memory out of proportion, the death of the
process. Findings are kept with their input under `findings/`, one of each kind (exception and line of ours);
`summary.json` counts cases and findings by target. Each target is a process that gets its slice of the time in turns
and keeps its corpus, so that the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

SLICE_S = 120
SLOW_S = 8.0
"""Of processor time."""
GROWTH_GIB = 1.5
"""Over the process's size at the start: a picture of 8192x8192 with transparency takes 1.2 on its way."""
LARGEST_INPUT = 8192
SCRATCH = Path("/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir())
Reader = Callable[[bytes, Path], None]


def main() -> None:
    """Gives every target its slices until the time is over; or, called by itself, fuzzes one target for one slice."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--target", choices=TARGETS, help="one target for one slice")
    arguments = parser.parse_args()
    if arguments.target:
        fuzz(arguments.target, out=arguments.out)
        return
    started, turn = time.monotonic(), 0
    while time.monotonic() - started < 60 * arguments.minutes:
        target = list(TARGETS)[turn % len(TARGETS)]
        turn += 1
        command = [sys.executable, __file__, "--out", str(arguments.out), "--target", target]
        done = subprocess.run(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
        )
        if done.returncode:
            died(target, done.returncode, done.stderr, out=arguments.out)
        print(json.dumps(summary(arguments.out)), flush=True)


def fuzz(target: str, *, out: Path) -> None:
    """Lets the fuzzer work on one target for a slice."""
    import atheris

    with atheris.instrument_imports(include=["loralab", "PIL"]):
        import loralab.adapter.formats
        import loralab.adapter.load
        import loralab.data.control.track_file
        import loralab.data.inspect
        import loralab.data.video.jsonl  # noqa: F401
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=SCRATCH))
    corpus, current = out / "corpus" / target, out / f"{target}.current"
    corpus.mkdir(parents=True, exist_ok=True)
    for data in SEEDS[target]():
        (corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    judge = Judge(target, TARGETS[target], folder=folder, out=out, current=current)
    sys.argv[1:] = []
    atheris.Setup(
        [
            sys.argv[0], str(corpus), f"-max_total_time={SLICE_S}", f"-max_len={LARGEST_INPUT}", "-rss_limit_mb=8192",
            "-timeout=60", f"-artifact_prefix={out}/", f"-dict={dictionary(out)}", "-print_final_stats=1",
        ],
        judge,
    )  # fmt: skip
    atheris.Fuzz()


class Judge:
    """Reads an input by the target's reader, and keeps it where that ends in anything but a result or a refusal."""

    def __init__(self, target: str, reader: Reader, *, folder: Path, out: Path, current: Path) -> None:
        """Counts from what earlier slices left."""
        self._target, self._reader, self._folder, self._out, self._current = (
            target,
            reader,
            folder,
            out,
            current,
        )
        self._count_file = out / f"{target}.count"
        known = (
            json.loads(self._count_file.read_text())
            if self._count_file.is_file()
            else {"cases": 0, "seconds": 0.0}
        )
        self._cases, self._before, self._started = known["cases"], known["seconds"], time.monotonic()
        self._size, self._saved = peak_gib(), time.monotonic()

    def __call__(self, data: bytes) -> None:
        """Judges one input."""
        from loralab.data.records import UnusableError
        from loralab.errors import UserError

        self._current.write_bytes(data)
        self._cases += 1
        started = time.process_time()
        try:
            self._reader(data, self._folder)
        except (UserError, UnusableError):
            pass
        except Exception as error:
            self._found(f"{type(error).__name__}: {error}", line_of_ours(error), data)
        if (took := time.process_time() - started) > SLOW_S:
            self._found(f"took {took:.1f} s", "slow", data)
        if (size := peak_gib()) > self._size + GROWTH_GIB:
            self._found(f"memory grew from {self._size:.2f} to {size:.2f} GiB", "memory", data)
            self._size = size
        if time.monotonic() - self._saved > 1:
            self._saved = time.monotonic()
            counted = {"cases": self._cases, "seconds": round(self._before + self._saved - self._started, 1)}
            self._count_file.write_text(json.dumps(counted))

    def _found(self, what: str, where: str, data: bytes) -> None:
        keep(self._target, what, where, data, out=self._out)


def keep(target: str, what: str, where: str, data: bytes, *, out: Path) -> None:
    """Keeps the first input of each kind of finding."""
    name = hashlib.sha256(f"{target} {what.split(':')[0]} {where}".encode()).hexdigest()[:12]
    path = out / "findings" / f"{target}-{name}"
    if path.with_suffix(".json").is_file():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".bin").write_bytes(data)
    path.with_suffix(".json").write_text(
        json.dumps({"target": target, "what": what[:500], "where": where}, indent=2)
    )


def died(target: str, code: int, said: str, *, out: Path) -> None:
    """Keeps what a process was reading when it died."""
    current = out / f"{target}.current"
    keep(target, f"exit status {code}: {said[-400:]}", "death", current.read_bytes(), out=out)


def summary(out: Path) -> dict[str, Any]:
    """Counts cases, seconds and findings by target, and writes them down."""
    found = [json.loads(path.read_text()) for path in sorted((out / "findings").glob("*.json"))]
    counted = {
        target: json.loads(path.read_text()) | {"findings": sum(each["target"] == target for each in found)}
        for target in TARGETS
        if (path := out / f"{target}.count").is_file()
    }
    whole = {"targets": counted, "findings": found}
    (out / "summary.json").write_text(json.dumps(whole, indent=2) + "\n")
    return counted


def peak_gib() -> float:
    """Gives the largest size that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def line_of_ours(error: BaseException) -> str:
    """Gives file and function of the last frame in our package."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/loralab/" in frame.filename]
    return f"{Path(frames[-1].filename).name}, {frames[-1].name}" if frames else "outside"


def dictionary(out: Path) -> Path:
    """Writes the words that inputs are made of, for the fuzzer to put in."""
    path = out / "words.dict"
    path.write_text("".join(f'"{word}"\n' for word in WORDS))
    return path


def read_adapter(data: bytes, folder: Path) -> None:
    """Reads an adapter file up to the factors that would be attached; even first bytes get a matching header length."""
    from loralab.adapter.formats import take_apart
    from loralab.adapter.metadata import metadata_of
    from loralab.adapter.reading import declared_scales, read_adapter_file

    path = folder / "adapter_model.safetensors"
    (folder / "adapter_config.json").unlink(missing_ok=True)
    kind, rest = data[:1] or b"\0", data[1:]
    if kind[0] % 2:
        path.write_bytes(rest)
    else:
        header, _, content = rest.partition(b"\n")
        path.write_bytes(len(header).to_bytes(8, "little") + header + content)
    if kind[0] % 4 >= 2:
        (folder / "adapter_config.json").write_bytes(rest)
    header_entries, tensors = read_adapter_file(path)
    metadata_of(path, header_entries)
    take_apart(tensors, path=path, declared=declared_scales(path, header_entries))


def read_manifests(data: bytes, folder: Path) -> None:
    """Reads a manifest of pictures, as JSON lines and as CSV: every bad line is a problem, none an exception."""
    from loralab.data.folder import FolderSource

    for name in ("metadata.jsonl", "metadata.csv"):
        root = folder / name.replace(".", "-")
        root.mkdir(exist_ok=True)
        (root / name).write_bytes(data)
        listing = FolderSource().read(str(root), key="dataset.root", cache_root=folder)
        outside = [
            entry.path for entry in listing.entries if not entry.path.resolve().is_relative_to(root.resolve())
        ]
        if outside:
            raise AssertionError(f"left its folder: {outside}")


def read_clips(data: bytes, folder: Path) -> None:
    """Reads a list of clips."""
    from loralab.data.video.jsonl import JsonlSource

    path = folder / "clips.jsonl"
    path.write_bytes(data)
    for name in ("a.mp4", "a.wav"):
        (folder / name).touch()
    JsonlSource().read(str(path), key="dataset.root")


def read_picture(data: bytes, folder: Path) -> None:
    """Checks a picture as a data set does, with the alpha channel as its mask, and prepares what was found good."""
    from loralab.data.images import fit_to, load_picture
    from loralab.data.inspect import Inspector
    from loralab.data.records import Entry, Record

    path = folder / "picture.png"
    path.write_bytes(data)
    for loss in ("none", "alpha"):
        inspector = Inspector(
            default_caption="x", masked_loss=loss, min_side=1, cache_root=folder / "none/there"
        )
        found = inspector._checked(Entry(path=path, name="picture", caption=None))
        if isinstance(found, Record):
            fit_to(load_picture(path), height=16, width=16)


def read_track_file(data: bytes, folder: Path) -> None:
    """Reads a file of motion tracks."""
    from loralab.data.control.track_file import read_tracks

    path = folder / "tracks.json"
    path.write_bytes(data)
    read_tracks(path)


def read_caption(data: bytes, folder: Path) -> None:
    """Reads a caption beside a picture and makes prompts of it."""
    from loralab.data.captions import CaptionRules
    from loralab.data.folder import caption_beside

    (folder / "picture.txt").write_bytes(data)
    caption = caption_beside(folder / "picture.png")
    if caption is not None:
        CaptionRules(trigger="sks", num_variants=4).prompts(caption, key="0" * 64)


TARGETS: dict[str, Reader] = {
    "adapter": read_adapter,
    "manifest": read_manifests,
    "picture": read_picture,
    "clips": read_clips,
    "tracks": read_track_file,
    "caption": read_caption,
}
WORDS = (
    *("file_name", "text", "caption", "weight", "repeats", "mask_file_name", "video", "audio", "reference_video"),
    *("tracks", "nodes", "points", "visible", "width", "height", "dtype", "shape", "data_offsets", "__metadata__"),
    *("F32", "BF16", "F16", "F8_E4M3", "I64", "BOOL", "lora_A.weight", "lora_B.weight", ".alpha"),
    "lora_magnitude_vector",
    *("alpha_pattern", "lora_alpha", "use_rslora", "lora_adapter_metadata", "loralab.rank", "loralab.format_version"),
    *("../", "/", "..", "NaN", "Infinity", "1e999", "18446744073709551616", "-1", "null", "true", "[[[[", "{{{{"),
    *("\\\\u0000", "\\x00", "\\xef\\xbb\\xbf", "a.mp4", "IHDR", "iCCP", "eXIf", "tRNS", "acTL", "GIF89a", "II*"),
)  # fmt: skip


def adapter_seeds() -> Iterator[bytes]:
    """Yields small adapter files of several writers, without the header's length."""
    import torch
    from safetensors.torch import save

    a, b, one = torch.ones(2, 3), torch.ones(4, 2), torch.tensor(2.0)
    declared = json.dumps(
        {"transformer.lora_alpha": 4, "transformer.alpha_pattern": {"x": 2}, "transformer.use_rslora": True}
    )
    ours = {
        f"loralab.{key}": "1" for key in ("family", "model", "checkpoint", "base_digest", "objective", "rank")
    }
    ours |= {f"loralab.{key}": "1" for key in ("alpha", "targets", "step", "config_digest", "format_version")}
    files = (
        save({"x.lora_A.weight": a, "x.lora_B.weight": b}, {"lora_adapter_metadata": declared, **ours}),
        save({"x.lora_down.weight": a.half(), "x.lora_up.weight": b.half(), "x.alpha": one}),
        save({"x.lora.down.weight": a.bfloat16(), "x.lora.up.weight": b.bfloat16()}),
        save({"x.lora_A.weight": a, "x.lora_B.weight": b, "x.lora_magnitude_vector": torch.ones(4)}),
    )
    for file in files:
        end = 8 + int.from_bytes(file[:8], "little")
        yield b"\0" + file[8:end] + b"\n" + file[end:]
        yield b"\1" + file
    yield b"\2" + b'{"r": 2, "lora_alpha": 4, "alpha_pattern": {"^x": 8}, "use_rslora": false}\n'


def picture_seeds() -> Iterator[bytes]:
    """Yields small pictures of every kind that is read, some with profiles, rotation, transparency and depth."""
    from PIL import Image, ImageCms

    grey = Image.linear_gradient("L").resize((9, 7))
    colour = Image.merge("RGB", [grey, grey.rotate(180), grey])
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (colour, "png", {"icc_profile": profile}), (colour, "jpeg", {"exif": exif}), (colour, "webp", {}),
        (colour, "gif", {}), (colour, "bmp", {}), (colour, "tiff", {"compression": "tiff_lzw"}), (colour, "avif", {}),
        (colour.convert("RGBA"), "png", {}), (grey.convert("I;16"), "png", {}), (grey.convert("F"), "tiff", {}),
        (colour.convert("CMYK"), "jpeg", {}), (colour.convert("P"), "png", {"transparency": 3}),
        (grey.convert("1"), "png", {}),
    ]  # fmt: skip
    for picture, kind, options in kinds:
        file = io.BytesIO()
        picture.save(file, format=kind, **options)
        yield file.getvalue()


SEEDS: dict[str, Callable[[], Iterator[bytes]]] = {
    "adapter": adapter_seeds,
    "manifest": lambda: iter(
        (
            b'{"file_name": "a.png", "text": "a cat", "weight": 2, "repeats": 3}\n{"file_name": "b/c.jpg"}',
            b'file_name,text,weight\na.png,a cat,1.5\n"b.png","x, y",\n',
        )
    ),
    "picture": picture_seeds,
    "clips": lambda: iter(
        (b'{"video": "a.mp4", "caption": "x", "audio": "a.wav"}\n{"video": "a.mp4", "tracks": "t.json"}',)
    ),
    "tracks": lambda: iter(
        (
            b'{"tracks": [{"nodes": [[0.2, 0.7], [0.5, 0.4]]}, {"nodes": [[0.1, 0.9]]}]}',
            b'{"width": 8, "height": 4, "points": [[[1.0, 2.0]], [[2, 3]]], "visible": [[true], [false]]}',
        )
    ),
    "caption": lambda: iter((b"a photo of [trigger], red, blue", "\ufeffein Bär, groß\r\n".encode())),
}


if __name__ == "__main__":
    main()
