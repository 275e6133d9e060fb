"""A folder of pictures, with captions in .txt or .caption files beside them or in a manifest."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from loralab.data.captions import tidy
from loralab.data.images import ENDINGS
from loralab.data.manifest import NAMES, Line, Manifest, known_framing, read_manifest
from loralab.data.records import Entry, Listing, Problem, UnusableError
from loralab.errors import UserError

CAPTION_ENDINGS = (".txt", ".caption")
MASK_FOLDER = "masks"
MASK_ENDING = ".mask.png"
FRAMING_ENDING = ".framing"
LINKS = ("inside", "follow")
WAY_IN = "copy the file, or trust the folder with +dataset.source.links=follow"
NO_LINE = Line(caption=None, mask_path=None, weight=1.0, repeats=1)


@dataclass(frozen=True)
class FolderSource:
    """Reads pictures in a folder and in the folders below it.

    A picture `a/b.jpg` takes its caption from a manifest (`metadata.jsonl` or `metadata.csv`, in `a` or above
    it), else from `a/b.txt` or `a/b.caption`; its mask from the manifest, from `a/b.mask.png` or from
    `masks/a/b.png` in the root; how much of a person it shows from the manifest or from `a/b.framing`. Hidden files
    and folders are passed over.

    Attributes:
        links: `inside` refuses links that lead out of the folder, which a downloaded one may hold (the hub's own cache,
            whose files are links to its blobs, is no way out); `follow` takes them.
    """

    links: str = "inside"

    def __post_init__(self) -> None:
        if self.links not in LINKS:
            raise UserError(f"dataset.source.links={self.links} is none of {', '.join(LINKS)}")

    def read(self, root: str, *, key: str, cache_root: Path) -> Listing:
        """Lists the pictures of a folder."""
        folder = Path(root).expanduser()
        if not folder.is_dir():
            raise UserError(f"{key}={root} is not a folder. Give the folder that holds the pictures.")
        files = visible_files(folder, without={MASK_FOLDER})
        stray = set() if self.links == "follow" else set(stray_links(files, root=folder))
        files = [path for path in files if path not in stray]
        manifest = _joined(read_manifest(path) for path in files if path.name in NAMES)
        pictures = [path for path in files if _is_picture(path)]
        led_out = [
            Problem(str(path), f"is a link out of {key}, to {path.resolve()}; {WAY_IN}")
            for path in sorted(stray)
        ]
        problems = [*led_out, *manifest.problems, *_absent(manifest, pictures)]
        entries = []
        for path in pictures:
            try:
                if any(path.with_suffix(ending) in stray for ending in CAPTION_ENDINGS):
                    raise UnusableError(f"its caption is a link out of {key}; {WAY_IN}")
                entry = _entry(path, manifest.lines.get(path, NO_LINE), root=folder)
                if (
                    self.links == "inside"
                    and entry.mask_path
                    and any(stray_links([entry.mask_path], root=folder))
                ):
                    raise UnusableError(f"its mask is a link out of {key}; {WAY_IN}")
                entries.append(entry)
            except UnusableError as error:
                problems.append(Problem(str(path), str(error)))
        unnamed = [path for path in files if path.name not in NAMES]
        notes = passed_over(
            unnamed, known=(*ENDINGS, *CAPTION_ENDINGS, FRAMING_ENDING), what="pictures nor captions"
        )
        return Listing(tuple(entries), tuple(problems), tuple(notes))


def visible_files(root: Path, *, without: Collection[str] = ()) -> list[Path]:
    """Lists the files in a folder and in those below it by name; hidden ones and some folders in the root are not."""
    files: list[Path] = []
    for parent, folders, names in os.walk(root, followlinks=True):
        left_out = without if Path(parent) == root else ()
        folders[:] = [name for name in folders if not name.startswith(".") and name not in left_out]
        files += [Path(parent) / name for name in names if not name.startswith(".")]
    return sorted(files, key=lambda path: path.relative_to(root).as_posix())


def stray_links(files: Iterable[Path], *, root: Path) -> Iterator[Path]:
    """Yields the files that lie outside the root in truth, through a link of their own or of a folder on the way."""
    home = root.resolve()
    blobs = next((parent.parent / "blobs" for parent in home.parents if parent.name == "snapshots"), home)
    inside: dict[Path, bool] = {}
    for path in files:
        if path.parent not in inside:
            inside[path.parent] = path.parent.resolve().is_relative_to(home)
        if inside[path.parent] and not path.is_symlink():
            continue
        true = path.resolve()
        if not (true.is_relative_to(home) or true.is_relative_to(blobs)):
            yield path


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS and not path.name.lower().endswith(MASK_ENDING)


def _joined(manifests: Iterator[Manifest]) -> Manifest:
    whole = Manifest()
    for manifest in manifests:
        twice = [path for path in manifest.lines if path in whole.lines]
        whole.problems.extend(manifest.problems)
        whole.problems.extend(Problem(str(path), "is listed in two manifests") for path in twice)
        whole.lines.update(manifest.lines)
    return whole


def _absent(manifest: Manifest, pictures: list[Path]) -> Iterator[Problem]:
    present = set(pictures)
    for path in manifest.lines:
        if path not in present:
            reason = (
                "is not one of the known picture endings"
                if path.exists()
                else "is in the manifest but not there"
            )
            yield Problem(str(path), reason)


def _entry(path: Path, line: Line, *, root: Path) -> Entry:
    name = path.relative_to(root)
    masks = (path.with_name(path.stem + MASK_ENDING), root / MASK_FOLDER / name.with_suffix(".png"))
    return Entry(
        path=path,
        name=name.as_posix(),
        caption=line.caption or caption_beside(path),
        mask_path=line.mask_path or next((mask for mask in masks if is_there(mask)), None),
        weight=line.weight,
        repeats=line.repeats,
        framing=line.framing or _framing_beside(path),
    )


def _framing_beside(path: Path) -> str | None:
    file = path.with_suffix(FRAMING_ENDING)
    if not is_there(file):
        return None
    return known_framing(tidy(file.read_text(encoding="utf-8-sig", errors="replace")))


def is_there(path: Path) -> bool:
    """Says whether there is such a file; a name that is too long for any, made from another, is not there."""
    try:
        return path.is_file()
    except OSError:
        return False


def caption_beside(path: Path) -> str | None:
    """Gives the caption in the file beside a picture or video, None where there is none.

    Raises:
        UnusableError: there are two, or it is not UTF-8.
    """
    files = [path.with_suffix(ending) for ending in CAPTION_ENDINGS if is_there(path.with_suffix(ending))]
    if len(files) > 1:
        raise UnusableError(f"has two captions, {files[0].name} and {files[1].name}; keep one")
    if not files:
        return None
    try:
        return tidy(files[0].read_text(encoding="utf-8-sig")) or None
    except UnicodeDecodeError as error:
        raise UnusableError(
            f"its caption {files[0].name} is not UTF-8 ({error.reason} at byte {error.start})"
        ) from error


def passed_over(files: Iterable[Path], *, known: Collection[str], what: str) -> Iterator[str]:
    """Yields a remark on the files whose ending is not a known one; `what` says what they are not."""
    strange = Counter(path.suffix.lower() for path in files if path.suffix.lower() not in known)
    if strange:
        kinds = ", ".join(
            f"{count} {ending or 'without ending'}" for ending, count in sorted(strange.items())
        )
        yield f"passed over {strange.total()} files that are neither {what}: {kinds}"
