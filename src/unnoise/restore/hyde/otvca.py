"""OTVCA: a cube as few images of small total variation times orthonormal spectra."""

from __future__ import annotations

import torch
from torch import Tensor

from unnoise.denoiser.base import Sigma
from unnoise.errors import InputError
from unnoise.restore.hyde.base import (
    CubeDenoiser,
    band_levels,
    check_cube,
    eigenbasis,
    noise_and_gram,
    varies,
    whole,
)
from unnoise.restore.hyde.total_variation import rof, total_variation

ROOM = 4
"""V turns within so many times the principal directions that it has columns: beyond them there is only noise."""


class OTVCA(CubeDenoiser):
    """`min 1/2 ||Y - F V^T||_F**2 + lambda sum_i TV(F_i)`, `V^T V = I`: orthogonal total-variation component analysis.

    The cube is whitened first, so that lambda is in units of a component's noise and means the same for any cube. By
    turns every image `Y v_i` is denoised by total variation, going on from the last dual variable, and V becomes the
    polar factor of `Y^T F`.

    Parameters
    ----------
    features : number of components.
    lam : weight of the total variation, in noise standard deviations.
    iterations : number of turns.
    inner : steps of the total-variation solver a turn.

    Source: Rasti, Ulfarsson and Sveinsson 2016, "Hyperspectral feature extraction using total variation component
    analysis", IEEE TGRS 54(12).
    """

    def __init__(self, features: int = 6, lam: float = 0.5, iterations: int = 10, inner: int = 3) -> None:
        super().__init__()
        if not lam >= 0:
            raise InputError(f"lam must be >= 0, got {lam}")
        self.features_, self.lam = whole("features", features), lam
        self.iterations, self.inner = whole("iterations", iterations), whole("inner", inner)

    def cube(self, y: Tensor, sigma: Tensor | None) -> Tensor:
        """One cube (bands, H, W)."""
        into, back = self._directions(y.flatten(1), sigma)
        f, w = self.factors((into.T @ y.flatten(1)).reshape(-1, *y.shape[1:]))
        return ((back @ w) @ f.flatten(1)).reshape(y.shape)

    def _directions(self, flat: Tensor, sigma: Tensor | None) -> tuple[Tensor, Tensor]:
        """Principal directions of the whitened cube (bands, some), to go into them and back."""
        sigma, g = noise_and_gram(flat, sigma)
        if self.features_ > len(flat):
            raise InputError(
                f"features {self.features_} is more than the cube's {len(flat)} bands: choose a smaller number"
            )
        e = eigenbasis(g / (sigma[:, None] * sigma))[1][:, : ROOM * self.features_]
        return (e / sigma[:, None]).to(flat), (e * sigma[:, None]).to(flat)

    def factors(self, z: Tensor, trace: list[float] | None = None) -> tuple[Tensor, Tensor]:
        """Feature images (r, H, W), and weights (n, r) of the principal images z (n, H, W), strongest first.

        `trace`, where given, receives the objective after every turn.
        """
        flat = z.flatten(1)
        w = torch.eye(len(z), self.features_, dtype=z.dtype, device=z.device)
        f = z[: self.features_]
        dual = None
        for _ in range(self.iterations):
            c = (w.T @ flat).reshape(f.shape)
            new, dual = rof(c, self.lam, dual, self.inner)
            # few inner steps may end above the last turn's image: then that is kept, and the objective cannot grow
            better = self._objective(new, c) <= self._objective(f, c)
            f = torch.where(better[:, None, None], new, f)
            p, _, q = torch.linalg.svd((flat @ f.flatten(1).T).double(), full_matrices=False)
            w = (p @ q).to(z)
            if trace is not None:
                fit = 0.5 * float((flat - w @ f.flatten(1)).double().square().sum())
                trace.append(fit + self.lam * float(total_variation(f).sum()))
        return f, w

    @torch.no_grad()
    def features(self, y: Tensor, sigma: Sigma = None) -> Tensor:
        """The feature images (B, features, H, W) of cubes y (B, bands, H, W), for classifiers; in units of noise.

        Constant bands tell nothing and are left out; `sigma` and errors as for `forward`.
        """
        check_cube(y)
        levels = None if sigma is None else band_levels(sigma, y).to(torch.float64).expand(len(y), -1)
        found = []
        for i, cube in enumerate(y.to(torch.float32)):
            varying = varies(cube)
            flat = cube[varying].flatten(1)
            into, _ = self._directions(flat, None if levels is None else levels[i, varying])
            found.append(self.factors((into.T @ flat).reshape(-1, *cube.shape[1:]))[0])
        return torch.stack(found)

    def _objective(self, f: Tensor, c: Tensor) -> Tensor:
        return 0.5 * (c - f).square().sum((1, 2), dtype=torch.float64) + self.lam * total_variation(f)
