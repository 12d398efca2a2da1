"""Fourier transforms."""

from __future__ import annotations

from specdsl.arrays import Array, Arrays
from specdsl.operators.registry import operator


@operator("fft2", "... n m -> ... n m", facts=["linear", "keeps_zero"], latex=r"\mathcal{{F}}({0})",
          torch="torch.fft.fft2({0})")  # fmt: skip
def fft2(xp: Arrays, A: Array) -> Array:
    """`F_kl = sum A_ij * exp(-2*pi*i*(ik/n + jl/m))`, complex."""
    return xp.fft2(A)


@operator("ifft2", "... n m -> ... n m", facts=["linear", "keeps_zero"], latex=r"\mathcal{{F}}^{{-1}}({0})",
          torch="torch.fft.ifft2({0})")  # fmt: skip
def ifft2(xp: Arrays, A: Array) -> Array:
    """The inverse of `fft2`, complex."""
    return xp.ifft2(A)


@operator("real", "... -> ...", facts=["elementwise", "linear", "keeps_zero", "idempotent"],
          latex=r"\operatorname{{Re}}({0})")  # fmt: skip
def real(xp: Arrays, A: Array) -> Array:
    """The real part of every entry."""
    return xp.real(A)
