from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from loralab.adapter import LoraSpec, adapter_parameters, inject
from loralab.denoiser import Sampling
from loralab.errors import UserError
from loralab.evaluation import Drawing, Evaluation, Previews, render
from loralab.evaluation.grid import Row, labelled_grid
from loralab.families.flux2_klein import Flux2Klein

PROMPTS = ["red apple", "green pear, tilted left"]


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


def test_render_draws_base_and_adapter_and_writes_a_grid(
    klein: Flux2Klein, adapter_file: Path, tmp_path: Path
) -> None:
    grid = render(klein, adapter_file, prompts=PROMPTS, seeds=[0, 1], folder=tmp_path)

    index = json.loads((tmp_path / "index.json").read_text())
    assert index["columns"] == ["base", "adapter"]
    assert [(row["prompt"], row["seed"]) for row in index["rows"]] == [
        (p, s) for p in PROMPTS for s in (0, 1)
    ]
    assert pixels(tmp_path / "base" / "03.png").shape == (64, 64, 3)
    assert np.abs(pixels(tmp_path / "base" / "00.png") - pixels(tmp_path / "adapter" / "00.png")).max() > 2
    assert grid == tmp_path / "grid.png"
    assert pixels(grid).shape[0] > 4 * 192


def test_drawing_from_a_file_leaves_the_adapter_in_training_as_it_was(
    klein: Flux2Klein, adapter_file: Path, tmp_path: Path
) -> None:
    render(klein, adapter_file, prompts=PROMPTS[:1], seeds=[0], folder=tmp_path / "fresh")
    spec = LoraSpec(rank=2, alpha=2, targets="attention")
    inject(klein.transformer, spec, pattern=klein.target_pattern("attention"))
    with torch.no_grad():
        for parameter in adapter_parameters(klein.transformer):
            parameter.normal_()
    before = [parameter.detach().clone() for parameter in adapter_parameters(klein.transformer)]

    render(klein, adapter_file, prompts=PROMPTS[:1], seeds=[0], folder=tmp_path / "training")

    after = adapter_parameters(klein.transformer)
    assert all(torch.equal(old, new) and new.requires_grad for old, new in zip(before, after, strict=True))
    for name in ("base/00.png", "adapter/00.png"):
        assert np.array_equal(pixels(tmp_path / "fresh" / name), pixels(tmp_path / "training" / name))


def test_evaluation_previews_captions_and_snapshots_of_a_run(
    klein: Flux2Klein, adapter_file: Path, tmp_path: Path
) -> None:
    for step in (1, 2, 3):
        snapshot = tmp_path / "snapshots" / f"step_{step:06d}.safetensors"
        snapshot.parent.mkdir(exist_ok=True)
        snapshot.write_bytes(adapter_file.read_bytes())
    evaluation = Evaluation(previews=Previews(num_prompts=1, num_snapshots=1))

    result = evaluation.run(klein, adapter=adapter_file, folder=tmp_path, captions=PROMPTS)

    assert result == {"preview": "previews/grid.png"}
    index = json.loads((tmp_path / "previews" / "index.json").read_text())
    assert index["columns"] == ["base", "step_000002", "adapter"]
    assert [row["prompt"] for row in index["rows"]] == PROMPTS[:1]


def test_an_evaluation_of_nothing_loads_nothing(tmp_path: Path) -> None:
    sampling = Sampling(num_steps=2, guidance_scale=1.0, height=64, width=64)
    absent = Flux2Klein(name="absent", checkpoint=str(tmp_path / "absent"), sampling=sampling)

    assert Evaluation().run(absent, adapter=tmp_path / "a", folder=tmp_path, captions=PROMPTS) == {}


def test_prompts_are_encoded_once_and_the_negative_only_where_it_counts(klein: Flux2Klein) -> None:
    guided = Drawing().encode(klein, [*PROMPTS, PROMPTS[0]])
    unguided = Drawing(guidance_scale=1.0).encode(klein, PROMPTS)

    assert guided.embeds[0] is guided.embeds[2]
    assert guided.negatives is not None
    assert unguided.negatives is None


@pytest.mark.parametrize(
    ("settings", "key"),
    [({"num_prompts": 0}, "num_prompts=0"), ({"seeds": ()}, "seeds"), ({"prompts": []}, r"prompts=\[\]")],
)
def test_previews_that_draw_nothing_are_refused(settings: dict[str, object], key: str) -> None:
    with pytest.raises(UserError, match=key):
        Previews(**settings)  # type: ignore[arg-type]


def test_a_grid_keeps_the_pixels_of_small_pictures() -> None:
    small = Image.fromarray(np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3))

    grid = np.asarray(labelled_grid([Row("a label", (small, small))], columns=["left", "right"]))

    enlarged = np.asarray(small).repeat(12, 0).repeat(12, 1)
    assert any(
        np.array_equal(grid[y : y + 192, x : x + 192], enlarged)
        for y in range(grid.shape[0] - 192)
        for x in range(grid.shape[1] - 192)
        if np.array_equal(grid[y, x], enlarged[0, 0])
    )


def test_a_grid_of_large_pictures_stays_viewable_and_its_labels_are_cut() -> None:
    large = Image.new("RGB", (1024, 768))

    grid = labelled_grid([Row("word " * 500, (large,)), Row("x" * 300, (large,))], columns=["only"])

    assert grid.size[0] < 700
    assert grid.size[1] < 700
