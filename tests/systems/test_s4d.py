"""Linear time-invariant models: the three forms agree with each other and with state-spaces/s4."""

from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from mambair_archs import s4d
from mambair_archs.blocks.mamba import Mamba
from tests.systems import golden


def layer(discretization: s4d.Discretization) -> s4d.S4D:
    network = s4d.S4D(6, 16, discretization).eval()
    golden.fill("s4d_layer", network)
    return network.double()


@pytest.mark.parametrize("kind", get_args(s4d.Discretization))
def test_kernel_recurrence_and_convolutions_equal_the_vectors(kind: s4d.Discretization) -> None:
    expected = np.load(golden.FOLDER / "s4d_kernels.npz")
    network = layer(kind)
    u = golden.inputs("s4d_layer")[0].double()
    kernel = network.kernel(u.shape[-1])
    forms = [s4d.recur(*network.kernel.discrete(), u), s4d.convolve(u, kernel), s4d.convolve_fft(u, kernel)]
    np.testing.assert_allclose(kernel.detach(), expected[f"kernel_{kind}"], rtol=0, atol=1e-9)
    for form in forms:
        np.testing.assert_allclose(form.detach(), expected[f"convolved_{kind}"], rtol=0, atol=1e-9)
    torch.testing.assert_close(network.recurrent(u), network(u), rtol=0, atol=1e-9)


@pytest.mark.parametrize("d_state", [4, 8])
def test_hippo_legs(d_state: int) -> None:
    expected: Any = np.load(golden.FOLDER / "hippo_legs.npz")
    A, B = s4d.hippo_legs(d_state)
    np.testing.assert_allclose(A, expected[f"A{d_state}"], atol=1e-12)
    np.testing.assert_allclose(B, expected[f"B{d_state}"], atol=1e-12)
    for kind in get_args(s4d.Discretization):
        A_bar, B_bar = s4d.discretize_matrix(A, B, 0.1, kind)
        np.testing.assert_allclose(A_bar, expected[f"{kind}_A{d_state}"], atol=1e-10)
        np.testing.assert_allclose(B_bar, expected[f"{kind}_B{d_state}"], atol=1e-10)
        state, kernel = B_bar, []
        for _ in range(12):
            kernel.append(float(state.sum()))
            state = A_bar @ state
        np.testing.assert_allclose(kernel, expected[f"{kind}_kernel{d_state}"], atol=1e-9)
    modes = np.sort_complex(expected[f"normal_eigenvalues{d_state}"])
    found = s4d.legs_eigenvalues(d_state).numpy()
    np.testing.assert_allclose(np.sort(np.abs(modes.imag)), np.sort(np.abs(found.imag)), atol=1e-9)
    np.testing.assert_allclose(found.real, -0.5)


def test_initial_modes() -> None:
    assert s4d.initial_modes("lin", 4).tolist() == [-0.5 + 0j, -0.5 + np.pi * 1j]
    assert s4d.initial_modes("real", 4).tolist() == [-1 + 0j, -2 + 0j]
    inverse = [4 / np.pi * (4 / (2 * n + 1) - 1) for n in range(2)]
    np.testing.assert_allclose(s4d.initial_modes("inv", 4).imag, inverse)
    np.testing.assert_allclose(s4d.initial_modes("legs", 8).imag, [0.4275, 1.958, 5.354, 19.86], rtol=1e-3)
    for kind in get_args(s4d.Initialization):
        network = s4d.S4D(3, 8, init=kind)
        y = network(torch.randn(2, 3, 9))
        assert y.shape == (2, 3, 9)
        assert torch.isfinite(y).all()


@pytest.mark.parametrize("kind", get_args(s4d.Discretization))
def test_discrete_model_follows_the_continuous_one(kind: s4d.Discretization) -> None:
    # h' = a h + 1 from 0 has the solution (exp(a t) - 1) / a.
    a, dt = torch.tensor([-0.7 + 2j], dtype=torch.complex128), torch.tensor(0.01, dtype=torch.float64)
    A_bar, B_bar = s4d.discretize(a, torch.ones_like(a), dt, kind)
    state = torch.zeros_like(a)
    for _ in range(300):
        state = A_bar * state + B_bar
    exact = (torch.exp(a * 3) - 1) / a
    torch.testing.assert_close(state, exact, rtol=0, atol=1e-12 if kind == "zoh" else 1e-4)


def test_zero_order_hold_of_a_mode_that_does_not_decay() -> None:
    A = torch.zeros(1, dtype=torch.complex128, requires_grad=True)
    A_bar, B_bar = s4d.discretize(
        A, torch.ones(1, dtype=torch.complex128), torch.tensor(0.3, dtype=torch.float64), "zoh"
    )
    assert A_bar.tolist() == [1]
    assert B_bar.tolist() == [pytest.approx(0.3)]
    (grad,) = torch.autograd.grad((A_bar + B_bar).real.sum(), A)
    assert grad.isfinite().all()


def test_scalar_kalman_filter_in_steady_state_is_a_recurrence() -> None:
    # x <- a x + (1 - a) u forgets like the gain of a steady Kalman filter: its answer to a step is 1 - a^(l + 1).
    a = torch.tensor([[0.8 + 0j]], dtype=torch.complex128)
    y = s4d.recur(a, (1 - a) / 2, torch.ones_like(a), torch.ones(1, 1, 6, dtype=torch.float64))
    torch.testing.assert_close(y.flatten(), 1 - 0.8 ** torch.arange(1, 7, dtype=torch.float64))


def test_odd_numbers_of_states_are_refused() -> None:
    with pytest.raises(ValueError, match="d_state must be even"):
        s4d.S4D(3, 7)


def test_model_of_blocks_learns_to_remember() -> None:
    torch.manual_seed(0)
    model = s4d.MambaModel(1, 1, d_model=8, d_state=8, depth=1)
    u = torch.randn(8, 24, 1)
    target = torch.cat([torch.zeros(8, 1, 1), u[:, :-1]], dim=1)
    optimizer = torch.optim.Adam(model.parameters(), 3e-2)

    errors = []
    for _ in range(120):
        optimizer.zero_grad()
        error: Tensor = (model(u) - target).square().mean()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.3, "a model without memory would stay at 1"


def test_mamba_token_by_token_equals_mamba_at_once() -> None:
    network = Mamba(12).eval()
    golden.fill("mamba_block", network)
    x = golden.inputs("mamba_block")[0][:, :9]
    window, state = network.start(len(x))
    steps = []
    for token in x.unbind(1):
        y, window, state = network.step(token, window, state)
        steps.append(y)
    torch.testing.assert_close(torch.stack(steps, 1), network(x), rtol=0, atol=1e-5)
