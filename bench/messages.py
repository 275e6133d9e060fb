"""Types bad input at the real commands and tabulates the message that each one gets.

    python bench/messages.py --out docs/messages.md

Works on tiny checkpoints with random weights, in a scratch folder; needs no network and no GPU.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

NOISE = re.compile(r"HYDRA_FULL_ERROR|^train: |^a prompt of|^loading the |^memory: |^Available options")
CLOCK = re.compile(r"^\[[\d :,-]+\]\[HYDRA\] ")
HEAD = """# What bad input gets
Each row was typed at the real command (`python bench/messages.py --out docs/messages.md` repeats them all); every one
ends with a non-zero exit status and loses nothing. Scratch paths are shortened to `…`.

| what is wrong | typed | message |
| --- | --- | --- |
"""


@dataclass(frozen=True)
class Case:
    """One mistake: what it is, the program's arguments after `python`, and which of them to show."""

    what: str
    program: tuple[str, ...]
    shown: str


def main() -> None:
    """Runs all cases and writes the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = prepared(Path(folder))
        rows = [_row(case, scratch) for case in cases(scratch)]
    arguments.out.write_text(HEAD + "\n".join(rows) + "\n", encoding="utf-8")
    print(f"{len(rows)} kinds of bad input: {arguments.out}")


def prepared(scratch: Path) -> Path:
    """Makes checkpoints, pictures good and bad, and files that are no adapters."""
    from tests.data.video.files import cut, write_video
    from tests.tiny import save_klein, save_zimage
    from tests.training.runs import finished, save_pictures, tiny_config

    save_klein(scratch / "klein")
    save_zimage(scratch / "zimage")
    save_pictures(scratch / "good")
    finished(
        tiny_config(scratch / "klein", scratch / "good", "steps=2", cache=scratch / "cache"), scratch / "run"
    )
    bad = save_pictures(scratch / "bad")
    (bad / "0.png").write_bytes(b"\x89PNG no more")
    (bad / "1.txt").unlink()
    Image.new("RGB", (20, 20)).save(bad / "small.png")
    (bad / "small.txt").write_text("a dot")
    torch.save({}, scratch / "adapter.pt")
    (scratch / "torn.safetensors").write_bytes((scratch / "run" / "adapter.safetensors").read_bytes()[:5000])
    whole = write_video(scratch / "whole.mp4", frames=60, sound="stereo", movflags="faststart")
    cut(whole, share=0.6, to=write_video(scratch / "clips" / "cut.mp4"))
    write_video(scratch / "clips" / "short.mp4", frames=9, sound="stereo")
    write_video(scratch / "clips" / "silent.mp4", frames=33)
    (scratch / "pairs.jsonl").write_text('{"video": "whole.mp4", "captoin": "x"}\n{"video": "gone.mp4"}\n')
    save_file({"something.lora_A.weight": torch.ones(4, 8)}, scratch / "foreign.safetensors")
    return scratch


def cases(scratch: Path) -> Iterator[Case]:
    """Yields the mistakes."""
    klein = (
        f"model.checkpoint={scratch / 'klein'}",
        "model.max_prompt_length=16",
        "model.recipe.resolution=64",
    )
    run = (
        "train.py",
        "model=flux2_klein4b",
        *klein,
        "trainer=smoke",
        "evaluation=none",
        "logger=none",
        "steps=20",
    )
    run = (
        *run,
        f"cache_root={scratch / 'cache'}",
        f"hydra.run.dir={scratch / 'out'}",
        "memory.checkpointing=none",
    )
    good = (*run, f"dataset.root={scratch / 'good'}")
    draw = ("-m", "loralab", "sample", "prompt=a cat", f"output={scratch / 'drawn'}")
    adapter = f"adapter={scratch / 'run' / 'adapter.safetensors'}"

    def typed(what: str, program: tuple[str, ...], *arguments: str) -> Case:
        return Case(what, (*program, *arguments), " ".join(arguments) or "(nothing more)")

    yield typed("a key that does not exist", good, "adapter.rnak=8")
    yield typed("a choice that does not exist", ("train.py",), "model=flux3")
    yield typed("no pictures named", run)
    yield typed("a folder that does not exist", run, f"dataset.root={scratch / 'nowhere'}")
    yield typed("corrupt, captionless and small pictures", run, f"dataset.root={scratch / 'bad'}")
    yield typed("sizes that do not divide", good, "batch_size=4", "micro_batch_size=3")
    yield typed(
        "an impossible learning rate, and more", good, "optimizer.lr=-1", "ema_decay=1", "run.save_every=0"
    )
    yield typed(
        "flow matching on a few-step model",
        ("train.py",),
        "model=flux2_klein9b_distilled",
        "dataset.root=photos",
    )
    yield typed(
        "the same on Turbo",
        ("train.py",),
        "model=zimage_turbo",
        "objective=flow_matching",
        "dataset.root=photos",
    )
    yield typed("permission for what does not happen", good, "allow_dedistill=true")
    yield typed("distribution matching on a base", good, "objective=distribution_matching")
    yield typed("a watch that sees nothing", good, "watch.prior=[]")
    yield typed("a checkpoint that is not there", good, f"model.checkpoint={scratch / 'nowhere'}")
    yield typed("a checkpoint of another family", good, f"model.checkpoint={scratch / 'zimage'}")
    yield typed("targets that match nothing", good, "adapter.targets=attn_of_another_model")
    yield typed("an adapter without rank", good, "adapter.rank=0")
    yield typed("a setting without effect", good, "dataset.trigger_policy=replace")
    yield typed("half precision that overflows", good, "memory.precision=fp16")
    yield typed("a precision that does not exist", good, "memory.precision=int3")
    yield typed("activations kept elsewhere that nobody keeps", good, "memory.offload_activations=true")
    yield typed("more blocks in main memory than there are", good, "memory.offload_blocks=2")
    yield typed("a budget for a precision that is chosen", good, "memory=int8", "memory.budget_gib=14")
    yield typed(
        "a learning rate that no source supports",
        ("train.py",),
        "model=flux2_klein9b",
        "dataset.root=photos",
        "optimizer.lr=1e-3",
    )
    yield typed("a degree of safety that does not exist", good, "safety=careful")
    yield typed("a loss that becomes infinite", good, "optimizer.lr=1e15", "safety=off", "run.save_every=1")
    yield typed("a resume where no run lives", ("train.py",), f"run.resume={scratch / 'good'}")
    yield typed("a GPU that is not there", good, "trainer.accelerator=cuda")
    yield typed(
        "guidance on Turbo",
        draw,
        "model=zimage_turbo",
        f"model.checkpoint={scratch / 'zimage'}",
        "guidance_scale=4",
    )
    yield typed(
        "nine steps that mean eight",
        draw,
        "model=zimage_turbo",
        f"model.checkpoint={scratch / 'zimage'}",
        "num_steps=9",
    )
    turbo = ("model=zimage_turbo", f"model.checkpoint={scratch / 'zimage'}")
    yield typed(
        "guidance in the previews of Turbo",
        (*good, *turbo, "objective=assistant", "evaluation=preview"),
        "evaluation.drawing.guidance_scale=4",
    )
    yield typed(
        "a study of Turbo by its validation loss",
        ("train.py", "-m", "sweep=zimage_turbo", *turbo, f"dataset.root={scratch / 'good'}"),
        "study.objectives={validation_loss: minimize}",
    )
    yield typed(
        "a study of Turbo that draws nothing",
        ("train.py", "-m", "sweep=zimage_turbo", *turbo, f"dataset.root={scratch / 'good'}"),
        "evaluation=none",
    )
    train = ("-m", "loralab", "assistant", "train")
    yield typed("an assistant of a base", train, "model=zimage_base")
    yield typed("an assistant without prompts", train, "model=zimage_turbo")
    yield typed("a pickle as an adapter", draw, f"adapter={scratch / 'adapter.pt'}", "model=flux2_klein4b")
    yield typed("a torn adapter file", draw, f"adapter={scratch / 'torn.safetensors'}")
    foreign = f"adapter={scratch / 'foreign.safetensors'}"
    yield typed("an adapter that adapts nothing", (*draw, *klein[:2]), foreign, "model=flux2_klein4b")
    yield typed("an adapter of another family", draw, adapter, "model=zimage_base")
    yield from _clips(scratch)
    yield typed("a size that the model cannot draw", (*draw, *klein[:2]), adapter, "height=100")


def _clips(scratch: Path) -> Iterator[Case]:
    """Yields mistakes in videos and in what is made of them."""

    def clips(what: str, *arguments: str) -> Case:
        return Case(what, ("-m", "loralab", "clips", *arguments), f"clips {' '.join(arguments)}")

    folder, lines = str(scratch / "clips"), str(scratch / "pairs.jsonl")
    yield clips("sizes that a video model cannot have", folder, "buckets=768x450x90;64x64")
    yield clips("policies that do not exist", folder, "buckets=96x64x33", "fps=24", "audio=maybe")
    yield clips(
        "references that would be no whole latents", folder, "buckets=96x64x33", "reference_downscale=2"
    )
    yield clips("cut, short and silent videos", folder, "buckets=96x64x33")
    yield clips("lines that name no clip", lines, "buckets=96x64x33")


def _row(case: Case, scratch: Path) -> str:
    done = subprocess.run([sys.executable, *case.program], cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 0 or "Traceback" in done.stderr + done.stdout:
        raise SystemExit(f"{case.what}: exit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    cells = (case.what, f"`{case.shown}`", _message(done.stdout + done.stderr))
    return "| " + " | ".join(cell.replace(str(scratch), "…").replace("|", "\\|") for cell in cells) + " |"


def _message(output: str) -> str:
    """What the program said last: from its error line on, or the tail of what Hydra says."""
    said = output.partition("Config search path:")[0]
    lines = [line for line in said.splitlines() if line.strip() and not NOISE.search(line)]
    starts = [number for number, line in enumerate(lines) if "[ERROR]" in line]
    kept = lines[starts[-1] :] if starts else lines[-14:]
    text = "<br>".join(CLOCK.sub("", line.split("[ERROR] - ")[-1]).strip() for line in kept)
    return text.replace("<", "&lt;").replace("&lt;br>", "<br>")


if __name__ == "__main__":
    main()
