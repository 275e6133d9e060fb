import math
from functools import partial
from pathlib import Path

import pytest
import torch

from loralab.adapter import LoraSpec, inject
from loralab.data import Batch
from loralab.denoiser import Sampling
from loralab.families.flux2_klein import Flux2Klein
from loralab.flow import LogitNormal
from loralab.flow.weighting import ConstantWeighting
from loralab.memory import Placement
from loralab.objectives import FlowMatching
from loralab.optim import Schedule
from loralab.training.readback import Readback


def klein(folder: Path) -> Flux2Klein:
    denoiser = Flux2Klein(
        name="tiny",
        checkpoint=str(folder),
        sampling=Sampling(num_steps=2, guidance_scale=1.0, height=64, width=64),
        max_prompt_length=16,
    )
    denoiser.place(Placement(torch.device("cpu"), torch.float32))
    return denoiser


def objective(denoiser: Flux2Klein, *, seed: int = 0, lr: float = 3e-2) -> FlowMatching:
    inject(
        denoiser.transformer,
        LoraSpec(rank=4, alpha=4, targets="attention"),
        pattern=denoiser.target_pattern("attention"),
    )
    return FlowMatching(
        denoiser,
        sigmas=LogitNormal(),
        weighting=ConstantWeighting(),
        optimizer=partial(torch.optim.AdamW, lr=lr),
        schedule=partial(Schedule(decay="constant"), num_steps=10),
        seed=seed,
    )


def batch(
    *, index: int = 0, weight: tuple[float, ...] = (1.0, 1.0), keys: tuple[str, ...] = ("a", "b")
) -> Batch:
    source = torch.Generator().manual_seed(5)
    return Batch(
        latents=torch.randn((2, 16, 4, 4), generator=source),
        prompt_embeds=[torch.randn((16, 48), generator=source) for _ in range(2)],
        weight=torch.tensor(weight),
        mask=None,
        index=index,
        captions=("one", "two"),
        keys=keys,
    )


@pytest.fixture
def module(tiny_klein_folder: Path) -> FlowMatching:
    return objective(klein(tiny_klein_folder))


def test_the_loss_falls_when_one_batch_is_repeated(module):
    optimizer = module.configure_optimizers()["optimizer"]
    losses = []

    for _ in range(20):
        loss = module.training_step(batch(), 0)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    assert losses[-1] < 0.95 * losses[0]


def test_noise_and_sigmas_depend_on_seed_and_micro_step_only(module, tiny_klein_folder):
    first = module.training_step(batch(index=3), 0)["loss"]
    torch.manual_seed(99)

    again = module.training_step(batch(index=3), 7)["loss"]
    later = module.training_step(batch(index=4), 7)["loss"]
    module.seed = 1
    other = module.training_step(batch(index=3), 0)["loss"]

    assert torch.equal(first, again)
    assert first != later
    assert first != other


def test_a_sample_of_weight_zero_adds_to_the_error_but_not_to_the_loss(module):
    outputs = module.training_step(batch(weight=(0.0, 0.0)), 0)

    assert outputs["loss"] == 0
    assert outputs["error"] > 0


def test_validation_noise_belongs_to_the_picture_and_not_to_the_run(module):
    alone = module.validation_errors(batch(keys=("a", "b")), levels=[0.3, 0.7])["loss"]
    module.seed = 1

    assert alone.shape == (2, 2)
    assert torch.equal(
        alone, module.validation_errors(batch(index=9, keys=("a", "b")), levels=[0.3, 0.7])["loss"]
    )
    assert not torch.equal(alone, module.validation_errors(batch(keys=("a", "c")), levels=[0.3, 0.7])["loss"])


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype feature")
def test_a_step_on_a_gpu_never_makes_the_host_wait(tiny_klein_folder):
    device, denoiser = torch.device("cuda"), klein(tiny_klein_folder)
    denoiser.place(Placement(device, torch.bfloat16))
    module = objective(denoiser)
    optimizer = module.configure_optimizers()["optimizer"]
    waiting = batch().pinned()

    def step() -> Readback:
        outputs = module.training_step(module.transfer_batch_to_device(waiting, device, 0), 0)
        outputs["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        return Readback(outputs["error"])

    step()  # what is made at the first use may wait
    torch.cuda.set_sync_debug_mode("error")
    try:
        reading = step()
    finally:
        torch.cuda.set_sync_debug_mode("default")

    assert math.isfinite(reading.value())


def test_only_the_adapter_is_trained_and_kept_in_checkpoints(module):
    trained = {
        id(p) for group in module.configure_optimizers()["optimizer"].param_groups for p in group["params"]
    }
    checkpoint = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)

    assert trained == {id(p) for name, p in module.named_parameters() if "lora" in name}
    assert checkpoint["state_dict"]
    assert all("lora" in name for name in checkpoint["state_dict"])


def test_the_trainer_cannot_move_networks_from_where_they_were_placed(module):
    before = {name: parameter.data_ptr() for name, parameter in module.named_parameters()}

    module.to(torch.float64)
    module.cpu()

    assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}
    assert {name: parameter.data_ptr() for name, parameter in module.named_parameters()} == before
