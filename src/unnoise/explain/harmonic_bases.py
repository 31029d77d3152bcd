"""What a denoiser does to a picture: its Jacobian, the basis in which it shrinks, its error without the clean picture.

Kadkhodaie, Guth, Simoncelli and Mallat 2024, "Generalization in diffusion models arises from geometry-adaptive harmonic
representations" (2310.02557). Works on any denoiser.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from unnoise.denoiser.base import Denoiser, Sigma
from unnoise.denoiser.derivatives import differentiable, require_gradients
from unnoise.errors import InputError, unknown
from unnoise.explain.harmonic_generalisation import check_level
from unnoise.noise.seeds import generator, normal_like

LARGEST = 6400  # numbers in a picture up to which the whole Jacobian is formed: 330 MB in float64


@dataclass(frozen=True, eq=False)
class Basis:
    """The basis in which a denoiser shrinks one picture, from its Jacobian J at that picture.

    Attributes
    ----------
    eigenvalues : (k,) of `(J + J^T) / 2`, falling: the shrinkage factors. They may exceed 1.
    eigenvectors : (k, C, H, W), orthonormal.
    coefficients : (k,) of the input in the basis; `clean`: of the clean picture, where it was given.
    trace : of J: the effective dimension. Estimated from random vectors when k is less than all.
    asymmetry : `|J - J^T| / |J|`, 0 for the optimal denoiser; NaN when J was not formed.
    homogeneity : `|J y - D(y)| / |D(y)|`, 0 for a bias-free network that is not told the noise level.
    """

    eigenvalues: Tensor
    eigenvectors: Tensor
    coefficients: Tensor
    clean: Tensor | None
    trace: float
    asymmetry: float
    homogeneity: float


def jacobian(denoiser: Denoiser, y: Tensor, sigma: Sigma = None, chunk: int = 64, **conditions: Any) -> Tensor:
    """Derivative of every output by every input, (d, d) in y's dtype: row r is the filter that makes output r.

    Parameters
    ----------
    y : one picture, (1, C, *spatial) with d numbers.
    chunk : rows computed at once, by batched reverse differentiation.

    Raises
    ------
    InputError : more than one picture, d above 6400 (use `shrinkage_basis` with `method="randomised"`), or a denoiser
        that computes without gradients.
    """
    d = _one_picture(y)
    if d > LARGEST:
        raise InputError(f"the whole Jacobian of {d} numbers is too large: take a smaller part, or method='randomised'")
    with differentiable(denoiser):
        rows = _products(denoiser, y, sigma, conditions)[1]
        eye = torch.eye(d, dtype=y.dtype, device=y.device)
        return torch.cat([rows(eye[i : i + chunk]) for i in range(0, d, chunk)])


def shrinkage_basis(
    denoiser: Denoiser,
    y: Tensor,
    sigma: Sigma = None,
    *,
    k: int | None = None,
    method: Literal["full", "randomised"] = "full",
    clean: Tensor | None = None,
    chunk: int = 64,
    seed: int = 0,
    **conditions: Any,
) -> Basis:
    """Eigenvectors and shrinkage factors of a denoiser at one picture (section 3.1 of the paper).

    Parameters
    ----------
    y : noisy picture (1, C, *spatial). sigma : its noise level, for denoisers that need it.
    k : number of pairs, largest first; all by default with "full", 32 with "randomised".
    method : "full" forms J; "randomised" needs only products with it: a block Krylov space from random vectors (Musco
        and Musco 2015) and the Rayleigh-Ritz values in it.
    clean : the clean picture, for its coefficients.

    Raises
    ------
    InputError : unknown method, k out of range, y too large for "full", a denoiser in training mode.
    """
    if method not in ("full", "randomised"):
        raise unknown("method", method, ("full", "randomised"))
    d = _one_picture(y)
    _settled(denoiser)
    if k is not None and not 1 <= k <= d:
        raise InputError(f"k must be between 1 and the {d} numbers of the picture, got {k}")
    flat = y.flatten().double()
    if method == "full":
        j = jacobian(denoiser, y, sigma, chunk, **conditions).double()
        values, vectors = torch.linalg.eigh((j + j.T) / 2)
        values, vectors = values.flip(0)[:k], vectors.flip(1)[:, :k]
        trace, asymmetry = float(j.trace()), float((j - j.T).norm() / j.norm())
        jy = j @ flat
    else:
        with differentiable(denoiser):
            columns, rows = _products(denoiser, y, sigma, conditions)

            def symmetric(v: Tensor) -> Tensor:
                v = v.T.to(y.dtype)
                return torch.cat(
                    [(columns(part) + rows(part)).double() / 2 for part in v.split(chunk)]
                ).T  # (d, block) in, (d, block) out

            wanted = min(32, d) if k is None else k
            g = generator(seed)
            values, vectors = block_krylov(symmetric, d, wanted, g, device=y.device)
            probes = torch.randn(64, d, generator=g).sign().to(y)
            trace = float((columns(probes) * probes).sum(1).mean())
            jy = columns(y.reshape(1, -1))[0].double()
        asymmetry = math.nan
    with torch.no_grad(), differentiable(denoiser):
        x_hat = denoiser(y, sigma, **conditions).flatten().double()
    return Basis(
        values,
        vectors.T.reshape(-1, *y.shape[1:]),
        vectors.T @ flat,
        None if clean is None else vectors.T @ clean.flatten().double(),
        trace,
        asymmetry,
        float((jy - x_hat).norm() / x_hat.norm()),
    )


def block_krylov(
    product: Callable[[Tensor], Tensor],
    d: int,
    k: int,
    g: torch.Generator,
    *,
    depth: int = 8,
    device: torch.device | str = "cpu",
) -> tuple[Tensor, Tensor]:
    """The k largest eigenpairs of a symmetric (d, d) operator from its products with blocks of vectors (d, b).

    Returns eigenvalues (k,), falling, and eigenvectors (d, k), float64. Source: Musco and Musco 2015, "Randomized block
    Krylov methods", algorithm 2.
    """
    width = min(d, max(k // 2, 8))
    q = torch.linalg.qr(torch.randn(d, width, generator=g, dtype=torch.float64).to(device))[0]
    blocks, images = [q], [product(q)]
    while len(blocks) < depth or sum(b.shape[1] for b in blocks) < min(d, 2 * k):
        basis = torch.cat(blocks, 1)
        v = images[-1]
        for _ in range(2):  # twice is enough to stay orthogonal
            v = v - basis @ (basis.T @ v)
        room = d - basis.shape[1]
        if room <= 0:
            break
        q, r = torch.linalg.qr(v[:, :room])
        if float(r.diagonal().abs().max()) < 1e-12:
            break  # the space is invariant
        blocks.append(q)
        images.append(product(q))
    basis, image = torch.cat(blocks, 1), torch.cat(images, 1)
    small = basis.T @ image
    values, vectors = torch.linalg.eigh((small + small.T) / 2)
    return values.flip(0)[:k], (basis @ vectors.flip(1))[:, :k]


def filter_at(
    denoiser: Denoiser, y: Tensor, row: int, column: int, sigma: Sigma = None, channel: int = 0, **conditions: Any
) -> Tensor:
    """The weights (C, H, W) with which the input enters one output pixel, to first order: a row of the Jacobian."""
    _one_picture(y)
    if not (0 <= row < y.shape[2] and 0 <= column < y.shape[3]):
        raise InputError(f"the place {column},{row} is outside the picture of {y.shape[3]} x {y.shape[2]} pixels")
    one = torch.zeros_like(y)
    one[0, channel, row, column] = 1
    with differentiable(denoiser):
        return _products(denoiser, y, sigma, conditions)[1](one.reshape(1, -1)).reshape(y.shape[1:])


@dataclass(frozen=True, eq=False)
class Singular:
    """Singular value decomposition of a denoiser's Jacobian: near y, D maps `right[k]` to `values[k] left[k]`.

    Attributes
    ----------
    values : (k,), falling. left, right : (k, C, H, W), each orthonormal: what is put out, and what is looked for.
    alignment : (k,) inner product of `left[k]` and `right[k]`; 1 where J is symmetric and positive, as it is for the
        optimal denoiser.
    """

    values: Tensor
    left: Tensor
    right: Tensor

    @property
    def alignment(self) -> Tensor:
        return (self.left * self.right).flatten(1).sum(1)


def singular_vectors(
    denoiser: Denoiser, y: Tensor, sigma: Sigma = None, *, k: int | None = None, chunk: int = 64, **conditions: Any
) -> Singular:
    """The k largest singular values of the Jacobian at one picture (1, C, *spatial), all by default, float64.

    For a Jacobian that is not symmetric, where the symmetric part of `shrinkage_basis` leaves out what turns one
    pattern into another (section 2.2 of the paper).

    Raises
    ------
    InputError : as `jacobian` does; a denoiser in training mode; k out of range.
    """
    _settled(denoiser)
    d = _one_picture(y)
    if k is not None and not 1 <= k <= d:
        raise InputError(f"k must be between 1 and the {d} numbers of the picture, got {k}")
    u, s, v = torch.linalg.svd(jacobian(denoiser, y, sigma, chunk, **conditions).double())
    return Singular(s[:k], u.T[:k].reshape(-1, *y.shape[1:]), v[:k].reshape(-1, *y.shape[1:]))


def sure(denoiser: Denoiser, y: Tensor, sigma: float, *, probes: int = 1, seed: int = 0, **conditions: Any) -> Tensor:
    """Stein's unbiased estimate of the mean squared error, without the clean picture, one a sample (B,).

    `|y - D|**2 / d - sigma**2 + 2 sigma**2 tr J / d`, the trace from random vectors of signs (Ramani et al. 2008,
    "Monte-Carlo SURE").

    Raises
    ------
    InputError : a sigma that is not above 0, fewer probes than 1, a denoiser that computes without gradients.
    """
    check_level(sigma)
    if probes < 1:
        raise InputError(f"the trace needs at least one random vector, got probes={probes}")
    b, d = y.shape[0], y[0].numel()
    with differentiable(denoiser):
        require_gradients(denoiser, y, sigma, conditions)

        def f(u: Tensor) -> Tensor:
            return denoiser(u, sigma, **conditions)

        trace = torch.zeros(b, dtype=torch.float64, device=y.device)
        x_hat = y
        for p in range(probes):
            v = normal_like(y, [generator(seed, i, p) for i in range(b)]).sign()
            pair: Any = torch.func.jvp(f, (y,), (v,))
            x_hat, moved = pair
            trace += (moved * v).flatten(1).sum(1).double().detach() / probes
    residual = (y - x_hat).detach().double().square().flatten(1).mean(1)
    return residual - sigma**2 + 2 * sigma**2 * trace / d


def oracle_error(coefficients: Tensor, sigma: float) -> Tensor:
    """Error of the best shrinkage that knows the clean coefficients c: `sum sigma**2 c**2 / (c**2 + sigma**2)`."""
    c = coefficients.square()
    return (sigma**2 * c / (c + sigma**2)).sum(-1)


def _settled(denoiser: Denoiser) -> None:
    if denoiser.training and any(True for _ in denoiser.parameters()):
        raise InputError("the denoiser is in training mode, where its derivative means nothing: call eval() first")


def _one_picture(y: Tensor) -> int:
    if len(y) != 1:
        raise InputError(f"the Jacobian is that of one picture (1, C, H, W), got a batch of {len(y)}")
    return y.numel()


Product = Callable[[Tensor], Tensor]


def _products(denoiser: Denoiser, y: Tensor, sigma: Sigma, conditions: dict[str, Any]) -> tuple[Product, Product]:
    """`v -> J v` and `v -> v^T J` for blocks of flat vectors (b, d)."""
    require_gradients(denoiser, y, sigma, conditions)

    def f(u: Tensor) -> Tensor:
        return denoiser(u, sigma, **conditions)

    pair: Any = torch.func.vjp(f, y)
    pull = pair[1]

    def columns(v: Tensor) -> Tensor:
        moved = torch.func.vmap(lambda t: torch.func.jvp(f, (y,), (t,))[1])(v.reshape(-1, *y.shape))
        return moved.detach().flatten(1)

    def rows(v: Tensor) -> Tensor:
        return torch.func.vmap(lambda t: pull(t)[0])(v.reshape(-1, *y.shape)).detach().flatten(1)

    return columns, rows
