from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from tests.data.pictures import dataset, draw_set
from tests.data.pooling import PoolingEncoders

from loralab.data import Batch, EncodedDataset, encode
from loralab.data.loader import ResumableLoader
from loralab.errors import UserError


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> EncodedDataset:
    root = draw_set(tmp_path_factory.mktemp("loader") / "set", count=7)
    return encode(dataset(root, flip=True, caption_dropout=0.2).collect(16), PoolingEncoders())


def loader(encoded: EncodedDataset, num_micro_steps: int = 12) -> ResumableLoader:
    return encoded.loader(micro_batch_size=2, num_micro_steps=num_micro_steps, seed=3)


class Notebook(pl.LightningModule):
    """Learns next to nothing and writes down every batch that it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[int, tuple[str, ...], tuple[str, ...], float]] = []

    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
        assert batch.index == batch_index
        self.seen.append((batch.index, batch.keys, batch.captions, float(batch.latents.sum())))
        return (self.weight - batch.latents.mean()) ** 2

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class SaveAfter(pl.Callback):
    """Saves a checkpoint after a micro-step and stops."""

    def __init__(self, path: Path, micro_step: int) -> None:
        self.path, self.micro_step = path, micro_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        if batch.index == self.micro_step - 1:
            trainer.save_checkpoint(self.path)
            trainer.should_stop = True


def fit(
    data: ResumableLoader, *callbacks: pl.Callback, checkpoint: Path | None = None, accumulate: int = 1
) -> Notebook:
    module = Notebook()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=len(data) // accumulate,
        accumulate_grad_batches=accumulate,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data, ckpt_path=checkpoint, weights_only=False if checkpoint else None)
    return module


@pytest.mark.parametrize(("micro_step", "accumulate"), [(5, 1), (6, 2), (1, 1), (11, 1)])
@pytest.mark.filterwarnings(
    "ignore:.isinstance.treespec, LeafSpec:FutureWarning"
)  # lightning 2.6 on torch 2.13
def test_a_resumed_run_sees_exactly_the_batches_that_the_interrupted_one_had_left(
    tmp_path: Path, encoded: EncodedDataset, micro_step: int, accumulate: int
) -> None:
    whole = fit(loader(encoded), accumulate=accumulate)
    first = fit(loader(encoded), SaveAfter(tmp_path / "c.ckpt", micro_step), accumulate=accumulate)

    second = fit(loader(encoded), checkpoint=tmp_path / "c.ckpt", accumulate=accumulate)

    assert [seen[0] for seen in whole.seen] == list(range(12))
    assert len(first.seen) == micro_step
    assert first.seen + second.seen == whole.seen
    assert torch.equal(second.weight, whole.weight)


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 warns torch about it
def test_what_is_read_ahead_does_not_move_the_position(encoded: EncodedDataset, num_workers: int) -> None:
    reading = ResumableLoader(loader(encoded)._batches, num_workers=num_workers)
    batches = iter(reading)
    for _ in range(3):
        next(batches)

    resumed = loader(encoded)
    resumed.load_state_dict(reading.state_dict())

    assert [batch.index for batch in resumed] == list(range(3, 12))
    assert [batch.index for batch in batches] == list(range(3, 12))


def test_a_second_iteration_starts_over(encoded: EncodedDataset) -> None:
    data = loader(encoded)
    data.load_state_dict({"position": 10})

    assert [batch.index for batch in data] == [10, 11]
    assert [batch.index for batch in data] == list(range(12))


def test_reading_draws_no_global_random_numbers(encoded: EncodedDataset) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()

    list(loader(encoded))

    assert torch.equal(torch.get_rng_state(), before)


def test_a_run_that_is_extended_goes_on_in_the_same_order(encoded: EncodedDataset) -> None:
    long = [batch.keys for batch in loader(encoded, 20)]

    assert [batch.keys for batch in loader(encoded, 12)] == long[:12]


def test_the_thread_that_reads_ahead_ends_with_an_iteration_that_is_left_early(
    encoded: EncodedDataset,
) -> None:
    batches = iter(loader(encoded))
    next(batches)
    reading = [thread.name for thread in threading.enumerate() if thread.name.startswith("prefetch")]

    batches.close()

    assert len(reading) == 1
    assert not [thread for thread in threading.enumerate() if thread.name in reading]


def test_a_file_that_is_lost_while_training_ends_the_run_with_its_name(tmp_path: Path) -> None:
    pictures = draw_set(tmp_path / "set", count=12)
    lossy = encode(dataset(pictures).collect(16), PoolingEncoders())
    batches = iter(lossy.loader(micro_batch_size=1, num_micro_steps=12, seed=3))
    next(batches)  # and at most three more are read ahead
    for path in (tmp_path / "cache" / "prompts").rglob("*.safetensors"):
        path.unlink()

    with pytest.raises(UserError, match=r"prompts.* was lost or damaged while in use"):
        list(batches)


@pytest.mark.gpu
def test_batches_for_a_gpu_lie_in_page_locked_memory(encoded: EncodedDataset) -> None:
    pinned = encoded.loader(micro_batch_size=2, num_micro_steps=3, seed=3, pinned=True)

    for batch in pinned:
        assert all(t.is_pinned() for t in (batch.latents, batch.weight, *batch.prompt_embeds))
        assert torch.equal(batch.to("cuda", non_blocking=True).latents.cpu(), batch.latents)


def test_a_run_that_ends_before_the_checkpoint_is_refused(encoded: EncodedDataset) -> None:
    with pytest.raises(UserError, match="stands at micro-step 13, this run ends at 12"):
        loader(encoded).load_state_dict({"position": 13})
