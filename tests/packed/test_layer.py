import torch

from loralab.linears import adapted_product
from loralab.packed.layer import PackedLinear
from loralab.packed.routing import Routing


def test_in_bf16_an_adapter_is_added_as_it_is_alone() -> None:
    torch.manual_seed(0)
    linear = torch.nn.Linear(48, 64, bias=False).bfloat16().requires_grad_(False)
    routing = Routing(width=2, device=torch.device("cpu"), exact=True)
    packed = PackedLinear(linear, width=2, rank=4, dtype=torch.bfloat16, routing=routing)
    for tensor in (packed.down.data, packed.up.data):
        tensor.normal_()
    packed.scale[:] = torch.tensor([0.3, 1.7]).view(2, 1, 1)
    x = torch.randn(4, 5, 48, dtype=torch.bfloat16)
    routing.begin([0, 1], is_whole=True, num_samples=4, training=True)

    together = packed(x)

    for slot, (part, found) in enumerate(zip(x.chunk(2), together.chunk(2), strict=True)):
        up = packed.up[slot] * packed.scale[slot]
        alone = adapted_product(
            part, [linear.weight], down=packed.down[slot], up=up, kind="dense", shape=(64, 48), low_bit=False
        )
        assert torch.equal(found, alone)
