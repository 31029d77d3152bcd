"""OTVCA: a cube as few images of small total variation times orthonormal spectra."""

from __future__ import annotations

import torch
from torch import Tensor

from unnoise.errors import InputError
from unnoise.restore.hyde.base import CubeDenoiser, eigenbasis, noise_and_gram, whole
from unnoise.restore.hyde.total_variation import rof, total_variation


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
        flat = y.flatten(1)
        sigma, g = noise_and_gram(flat, sigma)
        f, v = self.factors(flat / sigma.to(y)[:, None], g / (sigma[:, None] * sigma), (y.shape[1], y.shape[2]))
        return ((sigma.to(y)[:, None] * v) @ f.flatten(1)).reshape(y.shape)

    def factors(
        self, z: Tensor, g: Tensor, shape: tuple[int, int], trace: list[float] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Feature images (r, H, W) and spectra (bands, r) of a whitened cube (bands, pixels) with Gram matrix g.

        `trace`, where given, receives the objective after every turn.
        """
        r = self.features_
        if r > len(z):
            raise InputError(f"features {r} is more than the cube's {len(z)} bands: choose a smaller number")
        v = eigenbasis(g)[1][:, :r].to(z)
        f = (v.T @ z).reshape(r, *shape)
        dual = None
        for _ in range(self.iterations):
            c = (v.T @ z).reshape(r, *shape)
            new, dual = rof(c, self.lam, dual, self.inner)
            # few inner steps may end above the last turn's image: then that is kept, and the objective cannot grow
            better = self._objective(new, c) <= self._objective(f, c)
            f = torch.where(better[:, None, None], new, f)
            p, _, q = torch.linalg.svd((z @ f.flatten(1).T).double(), full_matrices=False)
            v = (p @ q).to(z)
            if trace is not None:
                fit = 0.5 * float((z - v @ f.flatten(1)).double().square().sum())
                trace.append(fit + self.lam * float(total_variation(f).sum()))
        return f, v

    def features(self, y: Tensor) -> Tensor:
        """The feature images (B, features, H, W) of cubes y (B, bands, H, W), for classifiers; in units of noise."""
        found = []
        for cube in y:
            flat = cube.flatten(1)
            sigma, g = noise_and_gram(flat, None)
            z = flat / sigma.to(cube)[:, None]
            found.append(self.factors(z, g / (sigma[:, None] * sigma), (cube.shape[1], cube.shape[2]))[0])
        return torch.stack(found)

    def _objective(self, f: Tensor, c: Tensor) -> Tensor:
        return 0.5 * (c - f).square().sum((1, 2), dtype=torch.float64) + self.lam * total_variation(f)
