"""Every backend inside torch: declarations, compiler, export with any size, autocast, inference mode, other devices."""

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim, export

import mambair_kernels
from mambair_archs import MaIR, MambaIR, MambaIRUNet, MambaIRv2Light, T_PMambaSR
from mambair_kernels import chunked, mamba_ssm
from mambair_kernels.triton import scan as triton_scan
from tests.kernels.backends import ALL, use
from tests.kernels.test_cpu import image_case, permutations, sequence_case

# Arguments travel as lists here, which a type checker cannot count.
scan_2d: Any = mambair_kernels.scan_2d
selective_scan: Any = mambair_kernels.selective_scan

HEAD: dict[str, Any] = {"upscale": 2, "upsampler": "pixelshuffledirect", "d_state": 2}
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "light": lambda: MambaIR(**HEAD, embed_dim=30, depths=(1,), mlp_ratio=1.0, drop_path_rate=0.0),
    "v2-light": lambda: MambaIRv2Light(
        **HEAD, embed_dim=8, depths=(2,), num_heads=(2,), mlp_ratio=1.0, window_size=4, num_tokens=4, inner_rank=3
    ),
    "tpmamba": lambda: T_PMambaSR(
        upscale=2, embed_dim=8, depths=(1,), num_heads=(2,), d_state=2, window_size=4, convffn_kernel_size=3
    ),
    "mair": lambda: MaIR(**HEAD, embed_dim=8, depths=(2,), scan_len=4),
    "unet": lambda: MambaIRUNet(dim=30, num_blocks=(1, 1, 1, 1), num_refinement_blocks=1, d_state=2),
}


def single(tensors: list[Tensor]) -> list[Tensor]:
    return [tensor.float().requires_grad_() for tensor in tensors]


def image(*size: int) -> list[Tensor]:
    return single(image_case(1, *size)[0])


@pytest.mark.parametrize(
    ("name", "module", "prefix"),
    [("chunked", chunked, "chunked"), ("triton", triton_scan, "triton"), ("mamba_ssm", mamba_ssm, "mamba_ssm")],
)
def test_declarations_hold(name: str, module: Any, prefix: str) -> None:
    operations = torch.ops.mambair
    with use(name):
        u, *others = single(sequence_case(1, 1, 2, 2, 5, 2))
        scan = getattr(operations, f"{prefix}_selective_scan").default
        keep = () if module is triton_scan else (True,)
        torch.library.opcheck(scan, (u, *others, True, *keep))
        torch.library.opcheck(scan, (u, *others[:4], None, None, True, *keep))
        if module is mamba_ssm:  # the rest of its image scan is torch's
            return
        grad, inputs = torch.randn_like(u), [each.detach() for each in (u, *others)]
        backward = getattr(operations, f"{prefix}_selective_scan_backward").default
        kept = [scan(*inputs, True, *keep)[1]] if keep else []
        torch.library.opcheck(backward, (grad, *inputs, True, *kept))
        image_scan = getattr(operations, f"{prefix}_scan_2d").default
        torch.library.opcheck(image_scan, (*image(1, 2, 3, 3, 2, 1, 2), None, None, [0, 3], *keep))
        c_bias, index = torch.randn(1, 6, 2, requires_grad=True), permutations(0, 1, 1, 6)
        torch.library.opcheck(image_scan, (*image(1, 2, 3, 3, 2, 1, 1), c_bias, index, [], *keep))


@pytest.mark.parametrize("name", ALL)
def test_one_graph_may_use_it_twice(name: str) -> None:
    x, *weights = image(1, 2, 3, 3, 2, 1, 4)
    with use(name):
        twice = torch.autograd.grad(scan_2d(scan_2d(x, *weights), *weights).sum(), [x, *weights])
    with use("chunked"):
        exact = [each.detach().double().requires_grad_() for each in (x, *weights)]
        wanted = torch.autograd.grad(scan_2d(scan_2d(*exact), *exact[1:]).sum(), exact)
    for one, other in zip(twice, wanted, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


@pytest.mark.parametrize("name", ALL)
def test_autocast_leaves_the_state_in_float32(name: str) -> None:
    tensors = image(1, 2, 3, 3, 2, 1, 4)
    low = [tensors[0].detach().bfloat16(), *tensors[1:]]
    with use(name):
        plain = scan_2d(*low)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(scan_2d(*low), plain)
        assert plain.dtype == torch.bfloat16
        exact = scan_2d(low[0].float(), *low[1:])
        grads = torch.autograd.grad(plain.float().sum(), tensors[1:])
    torch.testing.assert_close(plain.float(), exact, rtol=2**-7, atol=1e-3)
    assert all(grad.dtype == torch.float32 and grad.isfinite().all() for grad in grads)


@pytest.mark.parametrize("name", ALL)
def test_inference_mode(name: str) -> None:
    tensors = image(1, 2, 3, 3, 2, 1, 4)
    with use(name):
        expected = scan_2d(*tensors)
        with torch.inference_mode():
            found = scan_2d(*tensors)
            assert found.is_inference()
    assert torch.equal(found, expected)


@pytest.mark.parametrize("name", ["chunked", "reference"])
def test_a_network_moves_between_devices_and_types(name: str) -> None:
    torch.manual_seed(0)
    network, x = NETWORKS["light"]().eval(), torch.rand(1, 3, 4, 3)
    with use(name), torch.no_grad():
        expected = network(x)
        assert network.double()(x.double()).dtype == torch.float64
        state = network.float().state_dict()
        network.to("meta")
        assert network(x.to("meta")).shape == expected.shape
        network.to_empty(device="cpu")
        network.load_state_dict(state)
        network.register_buffer("mean", NETWORKS["light"]().get_buffer("mean"), persistent=False)
        assert torch.equal(network(x), expected)


def gradients(run: Callable[[Tensor], Tensor], network: nn.Module, x: Tensor) -> list[Tensor]:
    y = run(x)
    return [y, *torch.autograd.grad(y.square().sum(), list(network.parameters()), allow_unused=True)]


@pytest.mark.parametrize("name", ALL)
def test_a_network_compiles_into_one_graph(name: str) -> None:
    torch._dynamo.reset()
    torch.manual_seed(0)
    network = NETWORKS["light"]()
    x = torch.rand(1, 3, 2, 2) if name == "reference" else torch.rand(1, 3, 3, 4)
    with use(name):
        compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
        if name == "reference":  # unrolled step by step: for small sizes only, and without gradients soon enough
            torch.testing.assert_close(compiled(x), network(x), rtol=1e-5, atol=1e-6)
            return
        for one, other in zip(gradients(compiled, network, x), gradients(network, network, x), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_network_compiles_for_any_size() -> None:
    torch._dynamo.reset()
    torch.manual_seed(0)
    network = NETWORKS["light"]().eval()
    with use("chunked"), torch.no_grad():
        compiled = torch.compile(network, fullgraph=True, backend="aot_eager", dynamic=True)
        for size in ((9, 10), (8, 13)):
            x = torch.rand(1, 3, *size)
            torch.testing.assert_close(compiled(x), network(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "kind"),
    [*(("chunked", kind) for kind in NETWORKS), *((name, "light") for name in ("cpu", "mamba_ssm", "triton"))],
)
def test_an_exported_network_takes_any_size(name: str, kind: str) -> None:
    torch.manual_seed(0)
    network = NETWORKS[kind]().eval()
    traced, sizes = (
        ((5, 6), [(4, 7), (2, 4), (3, 3)]) if name == "triton" else ((20, 28), [(17, 25), (33, 16), (40, 9)])
    )
    with use(name), torch.no_grad():
        program = export(network, (torch.rand(1, 3, *traced),), dynamic_shapes=({2: Dim.DYNAMIC, 3: Dim.DYNAMIC},))
        graphs = (each.graph for each in program.graph_module.modules() if isinstance(each, torch.fx.GraphModule))
        assert any(f"mambair.{name}_s" in str(node.target) for graph in graphs for node in graph.nodes)
        for size in sizes:
            x = torch.rand(1, 3, *size)
            torch.testing.assert_close(program.module()(x), network(x), rtol=0, atol=1e-5)


def test_an_exported_network_survives_a_file() -> None:
    network, x, buffer = NETWORKS["light"]().eval(), torch.rand(1, 3, 4, 7), io.BytesIO()
    with use("chunked"), torch.no_grad():
        program = export(network, (torch.rand(1, 3, 5, 6),), dynamic_shapes=({2: Dim.DYNAMIC, 3: Dim.DYNAMIC},))
        torch.export.save(program, buffer)
        buffer.seek(0)
        torch.testing.assert_close(torch.export.load(buffer).module()(x), network(x), rtol=0, atol=1e-5)
