"""Values that are missing from a cube of low rank: from what the other bands of a pixel say."""

from __future__ import annotations

import torch
from torch import Tensor

from unnoise.errors import InputError
from unnoise.noise.spectral import check_regression, gram, regression_sigma
from unnoise.restore.hyde.base import eigenbasis, noise_from_gram
from unnoise.restore.hyde.subspace import above_noise

ROUNDS = 100
TOLERANCE = 0.01  # of the noise: when made-up values change less, they stay


def too_few(seen: Tensor) -> bool:
    """Whether too few pixels have all bands (bands, pixels) to tell noise and subspace, and others could."""
    bands, pixels = seen.shape
    complete = int(seen.all(0).sum())
    return complete < min(4 * bands, pixels / 2)


def impute(z: Tensor, seen: Tensor, k: int, sigma: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """A cube z (bands, pixels) completed where `seen` is false, by a model of low rank; and the levels of its noise.

    By turns the levels (bands,) come from regression (unless `sigma` gives them), the directions of the whitened cube
    above noise, the k strongest at most, are its subspace, and what is missing becomes its projection. Where this
    comes to rest, every pixel is the least-squares fit of its observed bands. Values that were made up hold no noise:
    the levels allow for that.

    Raises
    ------
    InputError : half of the pixels have no more than k bands; without sigma too few bands or pixels to tell noise.
    """
    bands, pixels = z.shape
    k = min(k, bands)
    there = seen.sum(0)
    if sigma is None:
        check_regression(bands, pixels)
    if int(there.median()) <= min(k, bands - 1):
        raise InputError(
            f"half of the pixels have no more than {int(there.median())} of {bands} bands, too few for {k} eigen-images"
            f": choose a smaller k, or leave bands out that are mostly missing"
        )
    share = pixels / seen.sum(1).clamp(min=1)
    hole = ~seen
    for _ in range(ROUNDS):
        g = gram(z)
        level, _ = noise_from_gram(g, pixels, regression_sigma(g, pixels) * share.sqrt() if sigma is None else sigma)
        values, e = eigenbasis(g / (level[:, None] * level))
        e = e[:, : min(k, above_noise(values, pixels))]
        projection = ((level[:, None] * e) @ (e / level[:, None]).T).to(z) @ z
        change = ((projection - z) / level.to(z)[:, None])[hole].square().mean().sqrt()
        z = torch.where(hole, projection, z)
        if float(change) < TOLERANCE:
            break
    return z, level


def fit_incomplete(z: Tensor, seen: Tensor, complete: Tensor, e: Tensor, p: Tensor, width: int) -> Tensor:
    """Coefficients (k, m) of the m incomplete pixels of a whitened cube z (bands, pixels).

    `(E_S^T E_S + ridge I) p = E_S^T z_S + ridge p_0`, with S the observed bands and p_0 the mean of the near complete
    pixels; the ridge is small unless S has fewer bands than there are coefficients.
    """
    k = e.shape[1]
    at = (~complete).nonzero()[:, 0]
    prior = near_mean(p, complete, at, width, k)
    patterns, which = seen[:, at].T.unique(dim=0, return_inverse=True)
    out = torch.empty_like(prior)
    step = max(1, (1 << 24) // (k * len(z)))
    for start in range(0, len(patterns), step):
        some = patterns[start : start + step].to(e)
        few = some.sum(1) < k
        ridge = torch.where(few, 1e-2, 1e-6).double()
        normal = torch.einsum("sb,bi,bj->sij", some.double(), e.double(), e.double())
        normal += ridge[:, None, None] * torch.eye(k, dtype=torch.float64, device=e.device)
        mine = ((which >= start) & (which < start + len(some))).nonzero()[:, 0]
        local = which[mine] - start
        right = torch.einsum("bi,bm->mi", e, torch.where(seen[:, at[mine]], z[:, at[mine]], 0)).double()
        right += ridge[local, None] * prior[:, mine].T
        factors = torch.linalg.cholesky(normal)
        out[:, mine] = torch.cholesky_solve(right[..., None], factors[local])[..., 0].T.to(out)
    return out


def near_mean(p: Tensor, complete: Tensor, at: Tensor, width: int, k: int) -> Tensor:
    """Mean coefficients (rows of p, m) of the k complete pixels nearest to each pixel `at` (m,), 0 without any."""
    from scipy.spatial import cKDTree

    known = complete.nonzero()[:, 0]
    if not len(known):
        return p.new_zeros(len(p), len(at))
    places = [torch.stack([index // width, index % width], 1).cpu().numpy() for index in (known, at)]
    near = cKDTree(places[0]).query(places[1], k=list(range(1, min(k, len(known)) + 1)))[1]
    return p[:, known[torch.from_numpy(near).to(known)]].mean(2)
