"""WSRRR: a cube as few sparse wavelet images times orthonormal spectra, found by turns."""

from __future__ import annotations

import torch
from torch import Tensor

from unnoise.errors import InputError
from unnoise.noise.spectral import band_sigma
from unnoise.restore.hyde.base import CubeDenoiser, eigenbasis, noise_and_gram, symmetric_pad, whole
from unnoise.restore.hyde.transform import Subbands, soft, sure_threshold

ROOM = 4
"""V turns within so many times the principal directions that it has columns: beyond them there is only noise."""


class WSRRR(CubeDenoiser):
    """`min 1/2 ||Y_w - X V^T||_F**2 + sum lambda_ij |X_ij|_1`, `V^T V = I`: sparse reduced-rank regression.

    Y_w are the wavelet coefficients of the whitened cube. By turns X is the soft-thresholded `Y_w V`, with lambda for
    each component and sub-band from SURE at the start, and V the polar factor of `Y_w^T X`. Only the components
    are ever transformed, as the transform commutes with V.

    Parameters
    ----------
    rank : number of components.
    levels, wavelet : of the transform, an orthogonal one.
    iterations : at most; the alternation stops when X changes by less than `tolerance`, relatively.

    Source: Rasti, Sveinsson and Ulfarsson 2014, "Wavelet-based sparse reduced-rank regression for hyperspectral image
    restoration", IEEE TGRS 52(10).
    """

    def __init__(
        self, rank: int = 10, levels: int = 3, wavelet: str = "db5", iterations: int = 50, tolerance: float = 1e-4
    ) -> None:
        super().__init__()
        self.rank, self.levels, self.wavelet = whole("rank", rank), whole("levels", levels, 0), wavelet
        self.iterations, self.tolerance = whole("iterations", iterations), tolerance

    def cube(self, y: Tensor, sigma: Tensor | None) -> Tensor:
        """One cube (bands, H, W)."""
        if self.rank > len(y):
            raise InputError(f"rank {self.rank} is more than the cube's {len(y)} bands: choose a smaller one")
        if sigma is None:
            sigma = band_sigma(y[None], "mad")[0, :, 0, 0].double()
        flat = y.flatten(1)
        sigma, g = noise_and_gram(flat, sigma)
        e = eigenbasis(g / (sigma[:, None] * sigma))[1][:, : ROOM * self.rank]
        bank = Subbands((y.shape[1], y.shape[2]), self.wavelet, self.levels)
        z = ((e / sigma[:, None]).to(flat).T @ flat).reshape(-1, *y.shape[1:])
        x, w = self.factors(symmetric_pad(z, bank.multiple), bank)
        x = x[:, : y.shape[1], : y.shape[2]].flatten(1)
        return (((e * sigma[:, None]).to(flat) @ w) @ x).reshape(y.shape)

    def factors(self, z: Tensor, bank: Subbands, trace: list[float] | None = None) -> tuple[Tensor, Tensor]:
        """Images (r, H, W), and weights (n, r) of the padded principal images z (n, H, W), strongest first.

        `trace`, where given, receives the objective after every turn.
        """
        flat = z.flatten(1)
        w = torch.eye(len(z), self.rank, dtype=z.dtype, device=z.device)
        thresholds: list[Tensor] | None = None
        previous = x = flat[:0]
        for _ in range(self.iterations):
            approx, *details = bank.analyse((w.T @ flat).reshape(self.rank, *z.shape[1:]))
            if thresholds is None:
                thresholds = [sure_threshold(c.flatten(2))[0][..., None, None] for c in details]
            kept = [approx, *(soft(c, t) for c, t in zip(details, thresholds, strict=True))]
            x = bank.synthesise(kept).flatten(1)
            p, _, q = torch.linalg.svd((flat @ x.T).double(), full_matrices=False)
            w = (p @ q).to(z)
            if trace is not None:
                penalty = sum(float((t * c.abs()).sum()) for t, c in zip(thresholds, kept[1:], strict=True))
                trace.append(0.5 * float((flat - w @ x).double().square().sum()) + penalty)
            if len(previous) and float((x - previous).norm()) < self.tolerance * float(x.norm()):
                break
            previous = x
        return x.reshape(self.rank, *z.shape[1:]), w
