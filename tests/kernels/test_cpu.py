"""The native CPU backend, with every instruction set that this processor has, against the float64 reference."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from mambair_kernels import CROSS_SCAN, chunked, dispatch, reference, scan_2d, selective_scan
from mambair_kernels.cpu import native
from mambair_kernels.cpu import scan as cpu
from mambair_kernels.operations import ImageScan
from mambair_kernels.paths import Path as ScanPath
from mambair_kernels.paths import Paths

ROOT = Path(__file__).parents[2]
Scan = Callable[..., Tensor]
NATIVE: Scan = cpu.scan_2d
NATIVE_SEQUENCES: Scan = cpu.selective_scan
REFERENCE: Scan = reference.scan_2d
PUBLIC: Scan = selective_scan

fuzz = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="session")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The built libraries; built for the tests when the package has none, as in a source tree."""
    with pytest.MonkeyPatch.context() as patch:
        if not native.built():
            folder = tmp_path_factory.mktemp("native")
            command = ["setup.py", "-q", "build_ext", "--build-lib", str(folder), "--build-temp", str(folder / "temp")]
            outcome = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
            patch.setattr(native, "FOLDER", folder / "mambair_kernels" / "cpu")
            if not native.built():
                pytest.skip(f"no native library can be built here: {outcome.stderr[-300:]}")
            native.forget()
        yield
    native.forget()


@pytest.fixture(scope="module", params=["v4", "v3", "v2", "generic"])
def isa(request: pytest.FixtureRequest, libraries: None) -> Iterator[str]:
    name: str = request.param
    if name not in native.supported():
        pytest.skip(f"this processor cannot run {native.DESCRIPTIONS[name]} code")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(native.VARIABLE, name)
        usable, reason = native.available()
        assert usable, reason
        yield name


@pytest.fixture(autouse=True)
def restore_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def image_case(
    seed: int, batch: int, height: int, width: int, channels: int, d_state: int, rank: int, paths: int
) -> tuple[list[Tensor], Tensor]:
    """x, x_proj, dt_proj, dt_bias, A_log, D in float64, and an output gradient."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    A_log = torch.log(torch.arange(1, d_state + 1, dtype=torch.float64)) + 0.1 * draw(paths * channels, d_state)
    return [
        draw(batch, height, width, channels),
        draw(paths, rank + 2 * d_state, channels) / channels**0.5,
        draw(paths, channels, rank) / rank**0.5,
        draw(paths, channels) - 3,
        A_log,
        draw(paths * channels),
    ], draw(batch, height, width, channels)


def permutations(seed: int, batch: int, paths: int, length: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randperm(length, generator=generator) for _ in range(batch * paths)]).view(
        batch, paths, length
    )


def differentiate(function: Callable[[list[Tensor]], Tensor], inputs: list[Tensor], grad: Tensor) -> list[Tensor]:
    """Output, then the gradient of every input."""
    leaves = [tensor.detach().clone().requires_grad_() for tensor in inputs]
    y = function(leaves)
    return [y.detach(), *torch.autograd.grad(y, leaves, grad.to(y.dtype))]


def errors(got: list[Tensor], exact: list[Tensor]) -> list[float]:
    """Largest difference relative to the largest entry: entries that cancel to nothing have no relative accuracy."""
    return [
        ((one.double() - other).abs().max() / other.abs().max().clamp(min=1e-6)).item()
        for one, other in zip(got, exact, strict=True)
    ]


def assert_close(
    got: list[Tensor],
    exact: list[Tensor],
    tolerance: float = 2e-5,
    float32: Callable[[], list[Tensor]] | None = None,
) -> None:
    """Within ``tolerance``, or as close as torch's own float32 where whole sums cancel (a single channel, say)."""
    found = errors(got, exact)
    if max(found) < tolerance:
        return
    allowed = [tolerance] * len(found)
    if float32 is not None:
        allowed = [max(tolerance, 10 * error) for error in errors(float32(), exact)]
    for i, error in enumerate(found):
        assert error < allowed[i], f"tensor {i} is off by {error:.1e}, more than {allowed[i]:.1e}"


def check_image(
    tensors: list[Tensor],
    grad: Tensor,
    paths: Paths,
    c_bias: Tensor | None = None,
    oracle: Scan = REFERENCE,
) -> None:
    inputs = tensors if c_bias is None else [*tensors, c_bias]

    def run(backend: Scan) -> Callable[[list[Tensor]], Tensor]:
        return lambda leaves: backend(*leaves[:6], paths, leaves[6] if c_bias is not None else None)

    single = [tensor.float() for tensor in inputs]
    exact = differentiate(run(oracle), inputs, grad)
    assert_close(
        differentiate(run(NATIVE), single, grad),
        exact,
        float32=lambda: differentiate(run(chunked.scan_2d), single, grad),
    )


@fuzz
@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 3),
    height=st.integers(1, 8),
    width=st.integers(1, 8),
    channels=st.integers(1, 40),
    d_state=st.integers(1, 20),
    rank=st.integers(1, 5),
    paths=st.lists(st.sampled_from(CROSS_SCAN), min_size=1, max_size=5),
    threads=st.integers(1, 3),
    biased=st.booleans(),
)
def test_image_matches_reference(
    isa: str,
    seed: int,
    batch: int,
    height: int,
    width: int,
    channels: int,
    d_state: int,
    rank: int,
    paths: list[ScanPath],
    threads: int,
    biased: bool,
) -> None:
    torch.set_num_threads(threads)
    tensors, grad = image_case(seed, batch, height, width, channels, d_state, rank, len(paths))
    c_bias = torch.randn(batch, height * width, d_state, dtype=torch.float64) if biased else None
    check_image(tensors, grad, tuple(paths), c_bias)


@fuzz
@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 3),
    height=st.integers(1, 8),
    width=st.integers(1, 8),
    channels=st.integers(1, 40),
    paths=st.integers(1, 3),
    threads=st.integers(1, 3),
    biased=st.booleans(),
)
def test_index_paths_match_reference(
    isa: str, seed: int, batch: int, height: int, width: int, channels: int, paths: int, threads: int, biased: bool
) -> None:
    torch.set_num_threads(threads)
    tensors, grad = image_case(seed, batch, height, width, channels, 5, 2, paths)
    c_bias = torch.randn(batch, height * width, 5, dtype=torch.float64) if biased else None
    check_image(tensors, grad, permutations(seed, batch, paths, height * width), c_bias)


@pytest.mark.parametrize(
    "size", [(1, 1, 1, 1, 1, 1), (2, 23, 31, 72, 10, 4), (1, 9, 8, 17, 256, 3), (1, 16, 9, 180, 16, 12)]
)
@pytest.mark.parametrize("threads", [1, 2, 7])
def test_image_at_the_edges(isa: str, size: tuple[int, int, int, int, int, int], threads: int) -> None:
    torch.set_num_threads(threads)
    # In float64 too, and tested against the reference, whose gradient takes quadratic time in the length.
    check_image(*image_case(3, *size, 4), CROSS_SCAN, oracle=chunked.scan_2d)


def sequence_case(seed: int, batch: int, groups: int, channels: int, length: int, d_state: int) -> list[Tensor]:
    """u, delta, A, B, C, D, delta_bias in float64."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    rows = groups * channels
    sequences = [draw(batch, rows, length), draw(batch, rows, length)]
    states = [draw(batch, groups, d_state, length), draw(batch, groups, d_state, length)]
    return [*sequences, -torch.exp(draw(rows, d_state)), *states, draw(rows), draw(rows) - 2]


@fuzz
@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 3),
    groups=st.integers(1, 3),
    channels=st.integers(1, 40),
    length=st.integers(1, 70),
    d_state=st.integers(1, 20),
    threads=st.integers(1, 3),
    skip=st.booleans(),
    bias=st.booleans(),
    softplus=st.booleans(),
)
def test_sequences_match_reference(
    isa: str,
    seed: int,
    batch: int,
    groups: int,
    channels: int,
    length: int,
    d_state: int,
    threads: int,
    skip: bool,
    bias: bool,
    softplus: bool,
) -> None:
    torch.set_num_threads(threads)
    *tensors, D, delta_bias = sequence_case(seed, batch, groups, channels, length, d_state)
    if not softplus:
        tensors[1], delta_bias = tensors[1].abs() / 10, delta_bias.abs() / 10
    inputs = [*tensors, *([D] if skip else []), *([delta_bias] if bias else [])]

    def run(backend: Scan) -> Callable[[list[Tensor]], Tensor]:
        return lambda leaves: backend(*leaves[:5], leaves[5] if skip else None, leaves[-1] if bias else None, softplus)

    grad = torch.randn_like(tensors[0])
    single = [tensor.float() for tensor in inputs]
    assert_close(
        differentiate(run(NATIVE_SEQUENCES), single, grad),
        differentiate(run(reference.selective_scan), inputs, grad),
        float32=lambda: differentiate(run(chunked.selective_scan), single, grad),
    )


@pytest.mark.parametrize("magnitude", [5.0, 40.0, 90.0, 1e4])
def test_large_steps_and_decay_stay_finite(isa: str, magnitude: float) -> None:
    tensors, grad = image_case(5, 2, 7, 9, 21, 6, 3, 4)
    tensors[3] = tensors[3] * magnitude
    tensors[4] = tensors[4] * magnitude
    leaves = [tensor.float() for tensor in tensors]
    results = differentiate(lambda inputs: NATIVE(*inputs, CROSS_SCAN, None), leaves, grad)
    assert torch.isfinite(results[0]).all()
    for result in results[1:5]:
        assert torch.isfinite(result).all()
    if magnitude < 1e3:  # beyond, A overflows float64 as well
        assert_close(results[:1], [REFERENCE(*tensors, CROSS_SCAN, None)])


def test_small_exponents_keep_their_accuracy(isa: str) -> None:
    """A constant input under constant parameters has the closed form of a geometric series.

    The decay itself, rounded to float32, allows 6e-5 here; a biased exponential would be far off.
    """
    length, dt, rate = 4096, 1e-3, 0.5
    ones = torch.ones(1, 1, length)
    y = NATIVE_SEQUENCES(ones, dt * ones, torch.tensor([[-rate]]), ones[:, None], ones[:, None], None, None, False)
    decay = torch.exp(torch.tensor(-rate * dt, dtype=torch.float64))
    steps = torch.arange(1, length + 1, dtype=torch.float64)
    exact = dt * (1 - decay**steps) / (1 - decay)
    assert ((y.double() - exact).abs() / exact).max() < 1e-4


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_same_bytes_twice(isa: str, threads: int) -> None:
    torch.set_num_threads(threads)
    tensors, grad = image_case(7, 1, 40, 30, 72, 10, 4, 4)
    inputs = [tensor.float() for tensor in tensors]
    first, second = (differentiate(lambda leaves: NATIVE(*leaves, CROSS_SCAN, None), inputs, grad) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("indexed", [False, True])
def test_every_output_element_is_written(isa: str, indexed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fresh memory is poisoned: what the kernel leaves unwritten, or reads before writing, shows up as NaN."""
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.empty(3).isnan().all()
        tensors, grad = image_case(11, 2, 9, 14, 21, 6, 3, 4)
        paths = permutations(11, 2, 4, 9 * 14) if indexed else CROSS_SCAN
        c_bias = torch.randn(2, 9 * 14, 6, dtype=torch.float64)
        for threads in (1, 2, 7):
            torch.set_num_threads(threads)
            check_image(tensors, grad, paths, c_bias)
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("bad", [-1, 12])
def test_index_outside_the_image_is_refused(isa: str, bad: int) -> None:
    tensors, _ = image_case(1, 1, 3, 4, 5, 2, 1, 1)
    paths = permutations(1, 1, 1, 12)
    paths[0, 0, 7] = bad
    with pytest.raises(ValueError, match="raster positions from 0 to 11"):
        NATIVE(*(tensor.float() for tensor in tensors), paths, None)


def test_index_that_repeats_pixels_adds_up(isa: str) -> None:
    tensors, grad = image_case(13, 2, 4, 5, 19, 3, 2, 2)
    paths = torch.randint(0, 20, (2, 2, 20), generator=torch.Generator().manual_seed(0))
    check_image(tensors, grad, paths)


def test_nothing_is_written_beside_the_output(isa: str) -> None:
    """The neighbours of a sliced output buffer keep their values, whatever the tail of the channels."""
    for channels in (1, 3, 15, 17, 33):
        tensors, _ = image_case(1, 1, 5, 7, channels, 3, 2, 4)
        inputs = [tensor.float() for tensor in tensors]
        expected = NATIVE(*inputs, CROSS_SCAN, None)
        job = cpu._image(ImageScan._make([*inputs, None, None, [0, 1, 2, 3]]))
        buffer = torch.full((expected.numel() + 128,), 7.0)
        job.out = buffer[64:-64].data_ptr()
        native.call("mambair_scan_image", job)
        assert torch.equal(buffer[64:-64].view_as(expected), expected)
        assert (buffer[:64] == 7).all()
        assert (buffer[-64:] == 7).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_keeps_its_type(isa: str, dtype: torch.dtype) -> None:
    tensors, _ = image_case(2, 1, 6, 8, 18, 4, 2, 4)
    inputs = [tensor.to(dtype) for tensor in tensors]
    y = scan_2d(*inputs)
    assert y.dtype == dtype
    exact = REFERENCE(*(tensor.double() for tensor in inputs), CROSS_SCAN, None)
    assert_close([y], [exact], tolerance=1e-2)


def test_strided_inputs(isa: str) -> None:
    tensors, _ = image_case(2, 2, 6, 8, 18, 4, 2, 4)
    inputs = [tensor.float() for tensor in tensors]
    expected = NATIVE(*inputs, CROSS_SCAN, None)
    strided = [tensor.mT.contiguous().mT if tensor.dim() > 1 else tensor for tensor in inputs]
    strided[0] = inputs[0].permute(3, 0, 1, 2).contiguous().permute(1, 2, 3, 0)
    assert torch.equal(NATIVE(*strided, CROSS_SCAN, None), expected)


def test_custom_operations_are_well_formed(isa: str) -> None:
    tensors, _ = image_case(2, 1, 4, 5, 18, 3, 2, 4)
    inputs = [tensor.float().requires_grad_() for tensor in tensors]
    c_bias = torch.randn(1, 20, 3, requires_grad=True)
    torch.library.opcheck(torch.ops.mambair.cpu_scan_2d.default, (*inputs, c_bias, None, [0, 1, 2, 3]))
    index = permutations(0, 1, 4, 20)
    torch.library.opcheck(torch.ops.mambair.cpu_scan_2d.default, (*inputs, None, index, []))
    sequences = [tensor.float().requires_grad_() for tensor in sequence_case(1, 2, 2, 9, 40, 3)]
    torch.library.opcheck(torch.ops.mambair.cpu_selective_scan.default, (*sequences, True))


def test_public_operations_choose_this_backend(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(dispatch.VARIABLE, raising=False)
    device = torch.device("cpu")
    assert dispatch.select(device, torch.float32).name == "cpu"
    assert dispatch.select(device, torch.float64).name == "chunked"
    tensors = [tensor.float() for tensor in sequence_case(1, 1, 2, 9, 40, 3)]
    assert torch.equal(PUBLIC(*tensors, delta_softplus=True), NATIVE_SEQUENCES(*tensors, True))


def test_unknown_instruction_set_is_explained(libraries: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(native.VARIABLE, "v9")
    usable, reason = native.available()
    assert not usable
    assert "v9 was not built" in reason


def test_instruction_set_that_the_processor_lacks(libraries: None, monkeypatch: pytest.MonkeyPatch) -> None:
    name = native.built()[0]
    monkeypatch.setattr(native, "supported", lambda: ())
    monkeypatch.setenv(native.VARIABLE, name)
    native.forget()
    assert native.available() == (
        False,
        f"{native.VARIABLE}={name} needs {native.DESCRIPTIONS[name]}, which this processor lacks",
    )
    native.forget()


def test_missing_library_falls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "FOLDER", tmp_path)
    monkeypatch.delenv(native.VARIABLE, raising=False)
    monkeypatch.delenv(dispatch.VARIABLE, raising=False)
    native.forget()
    assert native.available() == (False, native.MISSING)
    assert dispatch.select(torch.device("cpu"), torch.float32).name == "chunked"
    native.forget()


def test_library_that_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in native.DESCRIPTIONS:
        (tmp_path / f"_cpu_{name}.so").write_bytes(b"not a library")
    monkeypatch.setattr(native, "FOLDER", tmp_path)
    monkeypatch.delenv(native.VARIABLE, raising=False)
    native.forget()
    usable, reason = native.available()
    assert not usable
    assert "cannot be loaded" in reason
    native.forget()
