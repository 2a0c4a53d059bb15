"""Linear time-invariant state-space models: S4D (arXiv 2206.11893) in its three forms, and HiPPO-LegS.

A diagonal model ``h' = A h + B u``, ``y = 2 Re(C h)`` with complex modes is discretised with one step per channel. Then
it is a recurrence, a convolution with the kernel ``K[l] = 2 Re(sum_n C_n Bbar_n Abar_n^l)``, and a product of spectra.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Discretization = Literal["zoh", "bilinear"]
Initialization = Literal["lin", "inv", "real", "legs"]


def hippo_legs(d_state: int) -> tuple[Tensor, Tensor]:
    """HiPPO-LegS (arXiv 2008.07669, theorem 2): A (d_state, d_state) and B (d_state,), float64."""
    n = torch.arange(d_state, dtype=torch.float64)
    roots = (2 * n + 1).sqrt()
    A = -torch.tril(roots[:, None] * roots, -1) - torch.diag(n + 1)
    return A, roots


def legs_eigenvalues(d_state: int) -> Tensor:
    """Eigenvalues of the normal part of HiPPO-LegS, one of each conjugate pair by rising imaginary part, complex128.

    ``A + p p^T / 2`` with ``p = sqrt(2n + 1)``, halved for the symmetric part, is ``-1/2 + `` a skew-symmetric matrix
    (S4, arXiv 2111.00396, appendix C.1).
    """
    A, roots = hippo_legs(d_state)
    skew = A + roots[:, None] * roots / 2 + torch.eye(d_state) / 2
    imaginary = torch.linalg.eigvalsh(skew * -1j)
    return torch.complex(torch.full((d_state // 2,), -0.5, dtype=torch.float64), imaginary[-(d_state // 2) :])


def initial_modes(kind: Initialization, d_state: int) -> Tensor:
    """The ``d_state // 2`` modes A of one channel, complex128 (S4D, arXiv 2206.11893, section 4; LegS: S4's own)."""
    n = torch.arange(d_state // 2, dtype=torch.float64)
    if kind == "legs":
        return legs_eigenvalues(d_state)
    if kind == "real":
        return torch.complex(-(n + 1), torch.zeros_like(n))
    inverse = d_state / math.pi * (d_state / (2 * n + 1) - 1)
    return torch.complex(torch.full_like(n, -0.5), math.pi * n if kind == "lin" else inverse)


def discretize(A: Tensor, B: Tensor, dt: Tensor, kind: Discretization) -> tuple[Tensor, Tensor]:
    """Abar and Bbar of a diagonal model: A, B and dt broadcast against each other.

    Zero-order hold: ``exp(dt A)`` and ``(exp(dt A) - 1) / A B``; bilinear: ``(1 + dt A/2) / (1 - dt A/2)`` and
    ``dt / (1 - dt A/2) B``.
    """
    if kind == "zoh":
        step = dt * A
        small = step.abs() < 1e-6  # there the quotient is dt to the last digit, and at zero undefined
        quotient = torch.expm1(step) / torch.where(small, torch.ones_like(step), A)
        return torch.exp(step), torch.where(small, dt * (1 + step / 2), quotient) * B
    ahead = 1 - dt * A / 2
    return (1 + dt * A / 2) / ahead, dt / ahead * B


def discretize_matrix(A: Tensor, B: Tensor, dt: float, kind: Discretization) -> tuple[Tensor, Tensor]:
    """The same for a full matrix A (n, n) and B (n,)."""
    identity = torch.eye(len(A), dtype=A.dtype)
    if kind == "zoh":
        stepped = torch.linalg.matrix_exp(dt * A)
        return stepped, torch.linalg.solve(A, (stepped - identity) @ B)
    ahead = identity - dt / 2 * A
    return torch.linalg.solve(ahead, identity + dt / 2 * A), torch.linalg.solve(ahead, dt * B)


def kernel(A_bar: Tensor, B_bar: Tensor, C: Tensor, length: int) -> Tensor:
    """Convolution kernel ``2 Re(sum_n C_n Bbar_n Abar_n^l)``, (channels, length), of modes (channels, n)."""
    steps = torch.arange(length, device=A_bar.device)
    powers = A_bar[..., None] ** steps
    return 2 * (powers * (C * B_bar)[..., None]).sum(1).real


def recur(A_bar: Tensor, B_bar: Tensor, C: Tensor, u: Tensor) -> Tensor:
    """The recurrence ``h = Abar h + Bbar u``, ``y = 2 Re(C h)`` over u (batch, channels, length)."""
    h = torch.zeros(*u.shape[:2], A_bar.shape[1], dtype=A_bar.dtype, device=u.device)
    outputs = []
    for step in range(u.shape[2]):
        h = A_bar * h + B_bar * u[:, :, step, None]
        outputs.append(2 * (C * h).sum(-1).real)
    return torch.stack(outputs, dim=-1)


def convolve(u: Tensor, kernel: Tensor) -> Tensor:
    """Causal convolution of u (batch, channels, length) with a kernel (channels, length), term by term."""
    length = u.shape[-1]
    distance = torch.arange(length)[:, None] - torch.arange(length)
    rows = kernel[:, distance.clamp(min=0)] * (distance >= 0)
    out: Tensor = torch.einsum("ctl,bcl->bct", rows, u)
    return out


def convolve_fft(u: Tensor, kernel: Tensor) -> Tensor:
    """The same as a product of spectra: L log L instead of L * L."""
    length = u.shape[-1]
    spectrum = torch.fft.rfft(u, 2 * length) * torch.fft.rfft(kernel, 2 * length)
    out: Tensor = torch.fft.irfft(spectrum, 2 * length)[..., :length]
    return out


class S4DKernel(nn.Module):
    """Modes, input weights of one and output weights of every channel, and the kernel that they make."""

    def __init__(self, channels: int, d_state: int, discretization: Discretization, init: Initialization) -> None:
        super().__init__()
        self.discretization: Discretization = discretization
        modes = initial_modes(init, d_state).to(torch.complex64).repeat(channels, 1)
        self.C = nn.Parameter(torch.randn(channels, d_state // 2, 2) / math.sqrt(2))
        self.log_dt = nn.Parameter(torch.empty(channels).uniform_(math.log(1e-3), math.log(0.1)))
        self.log_A_real = nn.Parameter(torch.log(-modes.real))
        self.A_imag = nn.Parameter(modes.imag.clone())

    def discrete(self) -> tuple[Tensor, Tensor, Tensor]:
        """Abar, Bbar and C, complex of shape (channels, d_state // 2) each."""
        A = torch.complex(-self.log_A_real.exp(), self.A_imag)
        A_bar, B_bar = discretize(A, torch.ones_like(A), self.log_dt.exp()[:, None], self.discretization)
        return A_bar, B_bar, torch.view_as_complex(self.C)

    def forward(self, length: int) -> Tensor:
        """The kernel, (channels, length)."""
        return kernel(*self.discrete(), length)


class S4D(nn.Module):
    """S4D layer: a convolution with the kernel of a diagonal model, a skip, GELU and a gated linear layer.

    Args:
        channels: in and out.
        d_state: real states per channel; half as many complex modes.
        discretization: zero-order hold or bilinear.
        init: of the modes: S4D-Lin, S4D-Inv, S4D-Real, or the normal part of HiPPO-LegS.

    Raises:
        ValueError: ``d_state`` is odd or below 2.
    """

    def __init__(
        self,
        channels: int,
        d_state: int = 64,
        discretization: Discretization = "zoh",
        init: Initialization = "lin",
    ) -> None:
        super().__init__()
        if d_state < 2 or d_state % 2:
            raise ValueError(f"d_state must be even and at least 2, got {d_state}")
        self.D = nn.Parameter(torch.randn(channels))
        self.kernel = S4DKernel(channels, d_state, discretization, init)
        self.output_linear = nn.Sequential(nn.Conv1d(channels, 2 * channels, 1), nn.GLU(dim=-2))

    def mix(self, u: Tensor) -> Tensor:
        """The state-space model alone, as a convolution, on (batch, channels, length)."""
        return convolve_fft(u, self.kernel(u.shape[-1])) + self.D[:, None] * u

    def forward(self, u: Tensor) -> Tensor:
        """(batch, channels, length) to the same shape."""
        out: Tensor = self.output_linear(F.gelu(self.mix(u)))
        return out

    def recurrent(self, u: Tensor) -> Tensor:
        """The same result step by step, in memory that does not grow with the length."""
        y = recur(*self.kernel.discrete(), u) + self.D[:, None] * u
        out: Tensor = self.output_linear(F.gelu(y))
        return out


class MambaBlock(nn.Module):
    """A residual diagonal state-space block on tokens: normed, through S4D, added back."""

    def __init__(self, d_model: int, d_state: int = 16, discretization: Discretization = "zoh") -> None:
        super().__init__()
        self.norm = nn.LayerNorm(d_model)
        self.ssm = S4D(d_model, d_state, discretization)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, d_model) to the same shape."""
        out: Tensor = x + self.ssm(self.norm(x).mT).mT
        return out


class MambaModel(nn.Module):
    """A stack of :class:`MambaBlock` between two linear layers: sequence in, sequence out."""

    def __init__(self, d_input: int, d_output: int, d_model: int = 64, d_state: int = 16, depth: int = 2) -> None:
        super().__init__()
        self.encoder = nn.Linear(d_input, d_model)
        self.blocks = nn.Sequential(*(MambaBlock(d_model, d_state) for _ in range(depth)))
        self.norm = nn.LayerNorm(d_model)
        self.decoder = nn.Linear(d_model, d_output)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, d_input) to (batch, length, d_output)."""
        out: Tensor = self.decoder(self.norm(self.blocks(self.encoder(x))))
        return out
