"""Packs the emoji that the nano twins learn: two atlases and their names, from two public picture sets.

The sets are the npm packages `emoji-datasource-google` (Noto Emoji) and `emoji-datasource-twitter` (Twemoji), whose
`emoji.json` names the same file in both. The choice below is a rule, not a list: everyday things that are one drawing
with a short plain name, present in both sets.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from loralab.data.emoji.atlas import COLUMNS, TILE
from loralab.errors import UserError
from loralab.files import atomic_path, atomic_write

SUBCATEGORIES = frozenset(
    """animal-mammal animal-bird animal-amphibian animal-reptile animal-marine animal-bug plant-flower plant-other
    food-fruit food-vegetable food-prepared food-asian food-sweet drink musical-instrument transport-ground
    transport-water transport-air science household event game sport light_&_video tool clothing""".split()
)
PLAIN_NAME = re.compile(r"[a-z]+")
ANIMAL_FACE = re.compile(r"(bear|cat|cow|dog|fox|frog|lion|monkey|panda|pig|rabbit|tiger) face")
UNPLAIN = frozenset(
    """station hocho oden dango seat elevator pistol cooking metro rosette monorail billiards minibus sari kimono briefs
    bikini prawn herb blossom sauropod oyster dodo fondue ox""".split()
)


def choose(entries: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The chosen emoji, sorted by name: `name`, `image` (file name in both sets) and `group` (its subcategory)."""
    chosen: dict[str, dict[str, str]] = {}
    for entry in entries:
        name, group = plain_name(entry), entry["subcategory"].replace(" ", "_")
        drawn = entry["has_img_google"] and entry["has_img_twitter"] and not entry.get("skin_variations")
        if drawn and name and name not in UNPLAIN and group in SUBCATEGORIES:
            chosen.setdefault(name, {"name": name, "image": entry["image"], "group": group})
    return [chosen[name] for name in sorted(chosen)]


def plain_name(entry: dict[str, Any]) -> str:
    """The Unicode name in small letters, or nothing when it is not one plain word or an animal face."""
    name = (entry["name"] or entry["short_name"].replace("_", " ")).lower()
    return name if PLAIN_NAME.fullmatch(name) or ANIMAL_FACE.fullmatch(name) else ""


def pack(google: str | Path, twitter: str | Path, *, folder: str | Path) -> int:
    """Writes `noto.png`, `twemoji.png` and `names.json` into `folder`; returns the number of emoji."""
    chosen = choose(json.loads(_members(google, ["package/emoji.json"])[0]))
    for archive, brand, target in ((google, "google", "noto.png"), (twitter, "twitter", "twemoji.png")):
        pictures = _members(archive, [f"package/img/{brand}/64/{entry['image']}" for entry in chosen])
        _write_atlas([Image.open(io.BytesIO(data)) for data in pictures], Path(folder) / target)
    listed = [{"name": entry["name"], "group": entry["group"]} for entry in chosen]
    atomic_write(Path(folder) / "names.json", json.dumps(listed, indent=0) + "\n")
    return len(chosen)


def _members(archive: str | Path, names: list[str]) -> list[bytes]:
    with tarfile.open(archive) as tar:
        by_name = {member.name: member for member in tar.getmembers()}
        missing = [name for name in names if name not in by_name]
        if missing:
            raise UserError(
                f"{archive} holds no {missing[0]}: give the npm tarballs of emoji-datasource-* 16.0.0."
            )
        return [_read(tar, by_name[name]) for name in names]


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    if file is None:
        raise UserError(f"{member.name} is not a file in its archive.")
    return file.read()


def _write_atlas(pictures: list[Image.Image], path: Path) -> None:
    rows = -(-len(pictures) // COLUMNS)
    atlas = np.zeros((rows * TILE, COLUMNS * TILE, 4), np.uint8)
    for index, picture in enumerate(pictures):
        y, x = divmod(index, COLUMNS)
        tile = np.asarray(picture.convert("RGBA").resize((TILE, TILE)))
        atlas[y * TILE : (y + 1) * TILE, x * TILE : (x + 1) * TILE] = tile * (tile[..., 3:] > 0)
    with atomic_path(path) as temporary:
        Image.fromarray(atlas, "RGBA").save(temporary, format="PNG", optimize=True)
