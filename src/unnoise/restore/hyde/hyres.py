"""HyRes: low rank across bands, sparse wavelets across pixels, nothing to tune."""

from __future__ import annotations

import torch
from torch import Tensor

from unnoise.restore.hyde.base import eigenbasis, symmetric_pad, whole
from unnoise.restore.hyde.lowrank import Extent, Factors, LowRank
from unnoise.restore.hyde.subspace import above_noise
from unnoise.restore.hyde.transform import Subbands, soft, sure_threshold


class HyRes(LowRank):
    """Whitened principal components, each soft-thresholded in every wavelet sub-band at the minimum of SURE.

    Of the components above the Marchenko-Pastur edge, at most `max_rank`, those are kept whose SURE risk is below the
    signal that leaving them out would lose, which is their energy less that of the noise in them. That noise is
    measured on the component itself: SURE with unit noise hardly changes beyond the true rank, runs to the cap, and
    takes in components made of impulses and stripes.

    Parameters
    ----------
    levels : of the wavelet transform.
    wavelet : an orthogonal one.
    max_rank : most components kept.
    shifts : cycle spinning: results averaged over so many shifts, at as many times the transforms; 4 give 0.3 to
        0.4 dB.

    Source: Rasti, Ulfarsson and Ghamisi 2017, "Automatic hyperspectral image restoration using sparse and low-rank
    modeling", IEEE GRSL 14(12); shifts: Coifman and Donoho 1995.

    Examples
    --------
    >>> from unnoise.noise import generator
    >>> x = torch.linspace(0.2, 0.8, 12)[None, :, None, None] * torch.linspace(0, 1, 32)[:, None].expand(32, 32)
    >>> y = x + 0.1 * torch.randn(x.shape, generator=generator(0))
    >>> bool((HyRes()(y) - x).square().mean() < 0.05 * 0.1**2)
    True
    """

    def __init__(self, levels: int = 5, wavelet: str = "db5", max_rank: int = 10, shifts: int = 4) -> None:
        super().__init__()
        self.levels, self.max_rank = whole("levels", levels, 0), whole("max_rank", max_rank)
        self.wavelet, self.shifts = wavelet, whole("shifts", shifts)

    def factors(self, sigma: Tensor, g: Tensor, pixels: int) -> Factors:
        """The principal components above noise."""
        values, v = eigenbasis(g / (sigma[:, None] * sigma))
        rank = min(self.max_rank, above_noise(values, pixels))
        v = v[:, :rank]
        return Factors((v / sigma[:, None]).T, sigma[:, None] * v, values[:rank], sigma)

    def images(self, p: Tensor, factors: Factors, first: int = 0, extent: Extent | None = None) -> Tensor:
        """Thresholded, those that are not worth keeping zero."""
        clean, kept = self._shrink(p, factors.energy[first : first + len(p)])
        kept[: max(0, 1 - first)] = True  # the strongest of all
        return clean.mul_(kept[:, None, None])

    def _shrink(self, p: Tensor, energy: Tensor) -> tuple[Tensor, Tensor]:
        """Components (r, H, W) clean, and which of them are worth keeping; `energy` (r,) is their sum of squares."""
        bank = Subbands((p.shape[1], p.shape[2]), self.wavelet, self.levels)
        padded = symmetric_pad(p, bank.multiple)
        total, risk = torch.zeros_like(padded), p.new_zeros(len(p), dtype=torch.float64)
        noise = torch.ones_like(energy)
        for n, shift in enumerate(shifts_2d(self.shifts)):
            approx, *details = bank.analyse(torch.roll(padded, shift, (1, 2)))
            if n == 0 and details:
                noise = fine_power(details[-1])
            kept = [approx]
            risk += float(approx[0].numel())
            for c in details:
                t, r = sure_threshold(c.flatten(2))
                kept.append(soft(c, t[..., None, None]))
                risk += r.sum(1)
            total += torch.roll(bank.synthesise(kept), (-shift[0], -shift[1]), (1, 2))
        pixels = p[0].numel()
        risk *= pixels / (padded[0].numel() * self.shifts)
        return total[:, : p.shape[1], : p.shape[2]] / self.shifts, risk < energy - pixels * noise


def fine_power(details: Tensor) -> Tensor:
    """Power of the noise in components, from their finest details (r, 3, h, w): the largest of the orientations.

    1 for what the regression of bands took into account; impulses and stripes that strayed into a component show as
    more.
    """
    return details.square().mean((2, 3), dtype=torch.float64).amax(1)


def shifts_2d(count: int) -> list[tuple[int, int]]:
    """Offsets of cycle spinning: row i goes with i's bits reversed, so that few shifts meet every phase.

    >>> shifts_2d(4)
    [(0, 0), (1, 2), (2, 1), (3, 3)]
    """
    bits = max(1, (count - 1).bit_length())
    return [(i, int(f"{i:0{bits}b}"[::-1], 2)) for i in range(count)]
