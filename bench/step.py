"""Times one training step in this process: `python bench/step.py '<case as JSON>' [folder of a wave] [its size]`.

`bench/memory_speed.py` starts it. Ours is the step of loralab's own objective: noise and sigmas drawn on the CPU, loss,
backward pass, clipping, fused AdamW. The reference is what public training scripts run: bf16, eager, PEFT LoRA in fp32
under autocast, gradient checkpointing, AdamW.
"""

from __future__ import annotations

import functools
import json
import logging
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from bench.shapes import KLEIN, Case, build, denoiser, latents_shape, prompt_embeds, random_tensors  # noqa: E402
from bench.timing import GIB, Made, arrive, last_lines, measured  # noqa: E402  found through the line above

if TYPE_CHECKING:
    from loralab.memory import Placement


def main() -> None:
    """Measures and prints one JSON line."""
    logging.basicConfig(level=logging.WARNING)
    case = Case(**json.loads(sys.argv[1]))
    device = torch.device("cuda", 0)
    total = torch.cuda.get_device_properties(device).total_memory / GIB
    if case.cap_gib is not None:
        torch.cuda.set_per_process_memory_fraction(case.cap_gib / total)
    row: dict[str, Any] = {**vars(case), "tokens": case.tokens, "targets": "attention", "label": case.label}
    row["device"] = torch.cuda.get_device_name(device)
    try:
        make = functools.partial(reference if case.variant == "reference" else ours, case, device)
        row |= measured(make, device, wave=sys.argv[2:], beside=case.cap_gib is None)
    except Exception as error:
        row["failed"] = last_lines(error)
        arrive(sys.argv[2:])
    print("ROW " + json.dumps(row), flush=True)


def ours(case: Case, device: torch.device) -> Made:
    """Gives the step of loralab's own objective."""
    from loralab.adapter import LoraSpec, inject
    from loralab.data.batch import Batch
    from loralab.flow import LogitNormal
    from loralab.flow.weighting import ConstantWeighting
    from loralab.memory.compiling import num_graphs
    from loralab.objectives import FlowMatching

    base = placed(case, device)
    network = base.transformer
    spec = LoraSpec(rank=case.rank, alpha=case.rank, targets="attention")
    inject(network, spec, pattern=base.target_pattern("attention"))
    move(network)
    module = FlowMatching(
        base,
        sigmas=LogitNormal(mean=0.0, std=1.0),
        weighting=ConstantWeighting(),
        optimizer=functools.partial(torch.optim.AdamW, lr=1e-4, fused=True),
        schedule=functools.partial(torch.optim.lr_scheduler.LambdaLR, lr_lambda=lambda step: 1.0),
        seed=0,
    )
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = module.configure_optimizers()["optimizer"]
    latents, prompts = torch.randn(case.batch, *latents_shape(case)), prompt_embeds(case, torch.device("cpu"))
    count = iter(range(10**6))

    def step() -> torch.Tensor:
        batch = Batch(
            latents=latents.to(device, non_blocking=True),
            prompt_embeds=list(prompts.to(device, non_blocking=True)),
            weight=weight,
            mask=None,
            index=next(count),
            captions=("",) * case.batch,
            keys=("",) * case.batch,
        )
        loss: torch.Tensor = module.training_step(batch, 0)["loss"]
        return updated(loss, parameters, optimizer)

    latents, prompts = latents.pin_memory(), prompts.pin_memory()
    weight = torch.ones(case.batch, device=device)
    return step, lambda: {"num_graphs": num_graphs()}


def placed(case: Case, device: torch.device) -> Any:
    """Gives the case's model with random weights, held and run as the case says, without an adapter."""
    from loralab.memory.loading import empty

    base = denoiser(case)
    placement = placement_of(case, device)
    family = __import__(f"loralab.families.{base.family}.components", fromlist=["x"])
    attention = __import__(f"loralab.families.{base.family}.attention", fromlist=["x"])
    blank = empty(lambda: build(case.model))
    network = placement.filled(lambda: blank, random_tensors(blank, device), quantized=family.QUANTIZED)
    placement.apply(attention.use_processors(network))
    base.place(placement)
    return base.with_transformer(network)


def placement_of(case: Case, device: torch.device) -> Placement:
    """Gives how a case holds and runs its base."""
    from loralab.memory import Placement

    return Placement(
        device=device,
        dtype=torch.bfloat16,
        kind=None if case.kind == "bf16" else case.kind,
        low_bit=case.low_bit,
        checkpointing=case.checkpointing,
        checkpointed_blocks=case.checkpointed_blocks,
        compile=case.compile,
        offload_blocks=case.offload_blocks,
        offload_activations=case.offload_activations,
    )


def reference(case: Case, device: torch.device) -> Made:
    """Gives the step of diffusers' training scripts, in their own terms."""
    from loralab.memory.loading import Holding, empty, fill

    blank = empty(lambda: build(case.model))
    network: Any = fill(blank, random_tensors(blank, device), Holding(device, torch.bfloat16))
    pattern = denoiser(case).target_pattern("attention")
    parameters = with_peft(network, pattern, rank=case.rank)
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    latents = torch.randn(case.batch, *latents_shape(case), device=device)
    prompts = prompt_embeds(case, device)

    def step() -> torch.Tensor:
        noise, sigma = torch.randn_like(latents), torch.rand(case.batch, device=device)
        at = sigma.view(-1, 1, 1, 1)
        noisy = (1 - at) * latents + at * noise
        with torch.autocast("cuda", torch.bfloat16):
            if case.model in KLEIN:
                side = latents.shape[-1]
                zero = torch.zeros(1, dtype=torch.long)
                rows = torch.cartesian_prod(zero, torch.arange(side), torch.arange(side), zero).to(device)
                words = torch.nn.functional.pad(torch.arange(prompts.shape[1])[:, None], (3, 0)).to(device)
                tokens = noisy.flatten(2).transpose(1, 2)
                answer = network(
                    hidden_states=tokens, timestep=sigma, guidance=None, encoder_hidden_states=prompts,
                    txt_ids=words, img_ids=rows, return_dict=False,
                )[0].transpose(1, 2).unflatten(2, (side, side))  # fmt: skip
            else:
                pictures = list(noisy[:, :, None].unbind())
                answer = -torch.stack(
                    network(pictures, 1 - sigma, list(prompts), return_dict=False)[0]
                ).squeeze(2)
        loss = (answer.float() - (noise - latents)).square().mean()
        return updated(loss, parameters, optimizer)

    return step, lambda: {}


def with_peft(network: Any, pattern: str, *, rank: int) -> list[torch.nn.Parameter]:
    """Adds the adapter of public training scripts, in fp32 and under checkpointing; gives what is trained."""
    from diffusers.training_utils import cast_training_params
    from peft import LoraConfig

    names = [
        name
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Linear) and re.fullmatch(pattern, name)
    ]
    network.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=names))
    cast_training_params(network, torch.float32)
    network.enable_gradient_checkpointing()
    network.train()
    move(network)
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def updated(loss: torch.Tensor, parameters: list[Any], optimizer: torch.optim.Optimizer) -> torch.Tensor:
    """Differentiates, clips and steps; gives the loss."""
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


def move(network: torch.nn.Module) -> None:
    """Lets the adapter change something, so that no gradient is zero."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.01)


if __name__ == "__main__":
    main()
