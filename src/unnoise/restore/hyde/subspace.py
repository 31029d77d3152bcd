"""Where the signal of a cube lives: HySime's subspace, and the eigenvalues that noise alone cannot reach."""

from __future__ import annotations

import torch
from torch import Tensor

from unnoise.errors import InputError
from unnoise.noise.spectral import gram, precision
from unnoise.restore.hyde.base import eigenbasis


def hysime(y: Tensor) -> tuple[int, Tensor]:
    """Number of signal dimensions k of a cube (bands, pixels) and an orthonormal basis (bands, bands).

    Columns are ordered by what they save: the first k have negative cost `c_i = 2 n_i - p_i`, with p_i the power and
    n_i the noise power of the data along them. Noise comes from the regression of bands on one another.

    Source: Bioucas-Dias and Nascimento 2008, "Hyperspectral Subspace Identification", IEEE TGRS 46(8), eq. 17-19.

    >>> from unnoise.noise import generator
    >>> a, b = (torch.rand(s, generator=generator(i)) for i, s in enumerate([(30, 3), (3, 2000)]))
    >>> hysime(a @ b + 0.01 * torch.randn(30, 2000, generator=generator(2)))[0]
    3
    """
    return hysime_from_gram(gram(y), y.shape[1])


def hysime_from_gram(g: Tensor, samples: int, sigma: Tensor | None = None) -> tuple[int, Tensor]:
    """`hysime` from the Gram matrix g of a cube with `samples` pixels; `sigma` (bands,) where it is known."""
    bands = len(g)
    r_y = g / samples
    if sigma is None:
        # the residual of the regressions is A y with A = diag(1/q_ii) Q, so its products follow from g
        q = precision(g)
        a = q / q.diagonal()[:, None]
        keep = torch.eye(bands, dtype=g.dtype, device=g.device) - a
        r_x = keep @ r_y @ keep.T
        r_w = torch.diag((a @ r_y @ a.T).diagonal())
    else:
        r_w = torch.diag(sigma.double().square())
        r_x = r_y - r_w
    _, basis = eigenbasis((r_x + r_x.T) / 2)
    r_n = r_w + r_x.trace().clamp(min=0) / bands * 1e-5 * torch.eye(bands, dtype=g.dtype, device=g.device)
    p = (basis * (r_y @ basis)).sum(0)
    n = (basis * (r_n @ basis)).sum(0)
    cost, order = (2 * n - p).sort()
    return int((cost < 0).sum()), basis[:, order]


def above_noise(eigenvalues: Tensor, samples: int) -> int:
    """How many eigenvalues of a whitened Gram matrix exceed what noise alone gives, at least 1.

    The Marchenko-Pastur edge `(1 + sqrt(bands / samples))**2` bounds the spectrum of white noise of unit variance.
    """
    edge = (1 + (len(eigenvalues) / samples) ** 0.5) ** 2
    return max(1, int((eigenvalues / samples > edge).sum()))


def pca(y: Tensor, k: int) -> Tensor:
    """A cube (B, bands, H, W) projected on its k strongest principal directions, mean not removed.

    A yardstick, not a denoiser: no use is made of neighbouring pixels.
    """
    if not 1 <= k <= y.shape[1]:
        raise InputError(f"k must lie between 1 and the {y.shape[1]} bands, got {k}")
    out = []
    for cube in y:
        flat = cube.flatten(1)
        v = eigenbasis(gram(flat))[1][:, :k].to(flat)
        out.append((v @ (v.T @ flat)).reshape(cube.shape))
    return torch.stack(out)
