"""One run as one HTML page that needs nothing beside it: no network, no script, no second file.

It is made from the files of the run's folder alone, so it can be made again at any time, also of a run that
failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loralab.files import atomic_write
from loralab.report import reading
from loralab.report.curves import HEIGHT, LEFT, RIGHT, WIDTH, charts

TEMPLATE = Path(__file__).with_name("run_page.html.jinja")
MAIN_SETTINGS = (
    "model.name",
    "model.checkpoint",
    "dataset.root",
    "dataset.trigger",
    "steps",
    "batch_size",
    "optimizer.lr",
    "adapter.rank",
    "adapter.alpha",
    "adapter.targets",
    "seed",
)


def write_run_page(folder: str | Path) -> Path:
    """Writes `report.html` into the run's folder; returns its path."""
    from jinja2 import Environment, StrictUndefined

    folder = Path(folder)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return atomic_write(folder / "report.html", template.render(**_facts(folder)))


def _facts(folder: Path) -> dict[str, Any]:
    result = reading.json_file(folder / "result.json")
    settings = reading.settings(folder)
    density = folder / "sigma_density.png"
    return {
        "title": " / ".join(folder.absolute().parts[-3:]),
        "status": str(result.get("status", "no result.json: still running, or it crashed")),
        "reason": result.get("reason"),
        "headline": _headline(result, is_few_step=settings.get("model.variant") == "distilled"),
        "alarms": result.get("watch", {}).get("alarms", []),
        "watched": _newest_look(folder),
        "style": result.get("style"),
        "rows": reading.preview_rows(folder),
        "charts": charts(reading.metrics(folder)),
        "frame": {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": WIDTH - RIGHT},
        "density": reading.embedded(density, name="density of sigma") if density.is_file() else None,
        "main_settings": {key: settings[key] for key in MAIN_SETTINGS if settings.get(key, "null") != "null"},
        "settings": settings,
        "command": reading.command(folder),
        "stages": result.get("stages", {}),
        "files": reading.files(folder),
        "environment": reading.json_file(folder / "environment.json"),
    }


def _newest_look(folder: Path) -> Any:
    """Gives the newest picture of few steps beside many."""
    pictures = sorted((folder / "watch").glob("step_*.png"))
    return reading.embedded(pictures[-1], name=pictures[-1].stem) if pictures else None


def _headline(result: Mapping[str, Any], *, is_few_step: bool) -> str:
    """Says in one sentence what came out."""
    if few := result.get("fewstep"):
        return (
            f"At few steps the pictures lie {few['frechet']:.2f} from held-out ones (Fréchet distance; the untouched "
            f"checkpoint's {few['base']['frechet']:.2f}), with {few['sharpness']:.0%} of its sharpness."
        )
    if style := result.get("style"):
        pixel, share = style["pixel"], style["pixel"]["share_improved"]["value"]
        change = pixel["adapter"] / pixel["base"] - 1
        nearer = f"{abs(change):.0%} {'nearer to' if change < 0 else 'farther from'}"
        return (
            f"Held-out pictures are {nearer} their true pictures than the base's (pixel distance "
            f"{pixel['base']:.3f} before, {pixel['adapter']:.3f} after); "
            f"{share:.0%} of {style['num_held_out']} captions came nearer."
        )
    if len(history := result.get("validation") or []) > 1:
        (_, first), (step, last) = history[0], history[-1]
        if is_few_step:
            return (
                f"Flow-matching error {first:.4f} before training, {last:.4f} after {step} steps: a detector, no "
                "score. It falls as the distillation is lost; look at the pictures at few steps."
            )
        return f"Validation loss {first:.4f} before training, {last:.4f} after {step} steps ({last / first - 1:+.1%})."
    if "steps" in result:
        return f"{result['steps']} steps."
    return "Nothing was measured."
