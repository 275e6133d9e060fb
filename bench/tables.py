"""Tables and the picture of `bench/memory_speed.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

NAMES = {"flux2_klein4b": "Klein 4B", "flux2_klein9b": "Klein 9B", "zimage_turbo": "Z-Image"}
USEFUL = "useful share"


def by_card(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Gives the rows of each card, in the order in which cards first appear; those that failed name none."""
    cards = dict.fromkeys(row["device"] for row in rows if "device" in row)
    return {card: [row for row in rows if row.get("device") == card] for card in cards}


def references(rows: list[dict[str, Any]]) -> dict[tuple[str, int, int], dict[str, Any]]:
    """Gives the reference of each model, resolution and batch; of one card's rows."""
    return {
        (row["model"], row["resolution"], row["batch"]): row
        for row in rows
        if row["variant"] == "reference" and "failed" not in row
    }


def flops(row: dict[str, Any]) -> float:
    """Counts what a step must do: both products of the frozen base, and attention; no recomputation."""
    blocks, width, weights = {
        "flux2_klein4b": (25, 3072, 3.59e9),
        "flux2_klein9b": (32, 4096, 8.77e9),
        "zimage_turbo": (32, 3840, 5.99e9),
    }[row["model"]]
    tokens = row["tokens"]
    return float(row["batch"] * (4 * weights * tokens + 3.5 * 4 * tokens**2 * width * blocks))


def main_table(rows: list[dict[str, Any]]) -> str:
    """Gives the table at 1024x1024, batch 1, of one card's rows."""
    return _table([row for row in rows if row["resolution"] == 1024 and row["batch"] == 1], rows)


def other_table(rows: list[dict[str, Any]]) -> str:
    """Gives the table of the other sizes, of one card's rows."""
    return _table([row for row in rows if row["resolution"] != 1024 or row["batch"] != 1], rows)


def tables(rows: list[dict[str, Any]]) -> str:
    """Gives the tables of every card: a row is compared with the reference of its own card or with none."""
    return "\n\n".join(
        f"{card}\n\n{main_table(own)}\n\n{other_table(own)}" for card, own in by_card(rows).items()
    )


def _table(chosen: list[dict[str, Any]], rows: list[dict[str, Any]]) -> str:
    lines = [
        "| case | policy | ms | times as fast | peak GiB | x memory | useful share of the bf16 rate | GPU idle |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    found = references(rows)
    order = sorted(
        chosen, key=lambda row: (row["model"], row["resolution"], row["batch"], row["variant"] != "reference")
    )
    for row in order:
        size = f"{NAMES[row['model']]} r{row['rank']}, {row['resolution']}²"
        size += f", batch {row['batch']}" if row["batch"] > 1 else ""
        policy = row["label"] + (f", at most {row['cap_gib']:g} GiB" if row.get("cap_gib") else "")
        if "failed" in row:
            lines.append(f"| {size} | {policy} | failed: {row['failed'].splitlines()[-1][:80]} | | | | | |")
            continue
        other = found.get((row["model"], row["resolution"], row["batch"]))
        faster = f"{other['ms'] / row['ms']:.2f}" if other else ""
        memory = f"{row['peak_gib'] / other['peak_gib']:.2f}" if other else ""
        rate = row.get("bf16_tflops") or (other or {}).get("bf16_tflops")
        share = f"{flops(row) / (row['ms'] * 1e9) / rate:.0%}" if rate else ""
        idle = f"{row['idle_share']:.1%}" if "idle_share" in row else ""
        cells = [size, policy, f"{row['ms']:.0f}", faster, f"{row['peak_gib']:.2f}", memory, share, idle]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw_pareto(rows: list[dict[str, Any]], path: Path) -> None:
    """Draws time against memory of the first card at 1024x1024, batch 1, one panel for each model."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    card, rows = next(iter(by_card(rows).items()))
    labels = list(dict.fromkeys(row["label"] for row in rows))
    handles: dict[str, Any] = {}
    figure = Figure(figsize=(12, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, model in zip(figure.subplots(1, len(NAMES)), NAMES, strict=True):
        shown = [
            row
            for row in rows
            if row["model"] == model
            and row["resolution"] == 1024
            and row["batch"] == 1
            and "failed" not in row
        ]
        for row in shown:
            place = labels.index(row["label"])
            look = {"color": f"C{place % 10}", "marker": "osD^v<>P*X"[place % 10]}
            handles[row["label"]] = axes.scatter(row["peak_gib"], row["ms"], s=60, zorder=3, **look)
        axes.set(title=f"{NAMES[model]}", xlabel="peak GiB", xlim=(0, None), ylim=(0, None))
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("ms per step")
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle(f"One step at 1024x1024, batch 1, {card}")
    figure.savefig(path, dpi=130)
