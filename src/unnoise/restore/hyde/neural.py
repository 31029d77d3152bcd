"""The networks of HyDe as denoisers: any cube, brought to [0, 1] band by band, window by window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from unnoise.denoiser.base import Card
from unnoise.errors import InputError, unknown
from unnoise.nets.denet import denet
from unnoise.nets.memnet import MemNet
from unnoise.nets.qrnn import QRNN
from unnoise.restore.hyde.base import CubeDenoiser, whole
from unnoise.restore.hyde.hyres import HyRes
from unnoise.restore.hyde.normalise import scale
from unnoise.restore.hyde.windows import apply, plan

BANDS = 10
"""Bands that networks of two dimensions take, and the window of bands of the others."""

SHIPPED = "qrnn2d"
"""Name of the weights that the method takes unless told."""


@dataclass(frozen=True)
class Architecture:
    """How a network is built, whether bands are its channels (2) or an axis (3), and whether HyRes goes before it."""

    build: Callable[[], nn.Module]
    dims: int = 3
    hyres: bool = False


ARCHITECTURES = {
    "qrnn3d": Architecture(lambda: QRNN(depth=3)),
    "qrnn2d": Architecture(lambda: QRNN(depth=1)),
    "memnet": Architecture(lambda: MemNet(BANDS, 64, 6, 6, dims=2), dims=2),
    "memnet_hyres": Architecture(lambda: MemNet(BANDS, 64, 6, 6, dims=2), dims=2, hyres=True),
    "memnet3d": Architecture(lambda: MemNet(1, 32, 2, 2, dims=3)),
    "memnet3d_hyres": Architecture(lambda: MemNet(1, 16, 3, 3, dims=3), hyres=True),
    "denet": Architecture(lambda: denet(2), dims=2),
    "denet3d": Architecture(lambda: denet(3)),
}
"""The eight networks of HyDe 0.4.3; unlike there, both `_hyres` ones do have HyRes before them."""


class Neural(CubeDenoiser):
    """A blind network on windows of a cube, whatever its scale and number of bands; sigma is not looked at.

    Parameters
    ----------
    arch : key of `ARCHITECTURES`.
    window : rows and columns of a window; `None`: all.
    band_window : bands of a window; `None`: all, which networks of three dimensions alone can do.
    overlap : of neighbouring windows, in rows, columns and bands.
    blend : "cosine", or "crop" for HyDe's rule; see `windows.plan`.
    normalize : one of `normalise.SCALES`, of the whole noisy cube.
    batch : windows at once; `None`: a million voxels.

    Source: Coquelin et al. 2022, "HyDe: the first open-source, Python-based, GPU-accelerated hyperspectral denoising
    package", WHISPERS.

    Examples
    --------
    >>> Neural("qrnn2d")(torch.rand(1, 12, 9, 7)).shape
    torch.Size([1, 12, 9, 7])
    """

    def __init__(
        self,
        arch: str = "qrnn2d",
        window: int | None = 256,
        band_window: int | None = BANDS,
        overlap: tuple[int, int, int] = (16, 16, 2),
        blend: str = "cosine",
        normalize: str = "band01",
        batch: int | None = None,
    ) -> None:
        super().__init__()
        if arch not in ARCHITECTURES:
            raise unknown("network for cubes", arch, ARCHITECTURES)
        self.arch = ARCHITECTURES[arch]
        if self.arch.dims == 2 and band_window != BANDS:
            raise InputError(f"{arch} takes {BANDS} bands at a time: leave band_window at {BANDS}")
        self.net = self.arch.build()
        self.before = HyRes() if self.arch.hyres else None
        self.window, self.band_window, self.overlap = window, band_window, overlap
        self.blend, self.normalize, self.batch = blend, normalize, batch
        self.card = replace(Card(kind="cube", value_range=None), training={}, measured={})

    def prepare(self, y: Tensor) -> Tensor:
        """Windows (n, bands, H, W) of a normalised cube as `net` takes them."""
        if self.before is not None:
            y = self.before(y)
        return y if self.arch.dims == 2 else y[:, None]

    def cube(self, y: Tensor, sigma: Tensor | None) -> Tensor:
        """One cube (bands, H, W)."""
        bands, height, width = y.shape
        kept = scale(y[None], self.normalize)
        z = _mirror(kept.to(y[None])[0], self._bands(bands), getattr(self.net, "multiple", 1))
        axes = (
            plan(z.shape[0], self.band_window, self.overlap[2], self.blend),
            plan(z.shape[1], self.window, self.overlap[0], self.blend),
            plan(z.shape[2], self.window, self.overlap[1], self.blend),
        )
        clean = apply(lambda w: self.net(self.prepare(w)).reshape(w.shape), z, axes, self.batch)[
            :bands, :height, :width
        ]
        return kept.back(clean[None])[0]

    def _bands(self, bands: int) -> int:
        return max(bands, BANDS) if self.arch.dims == 2 else bands


def _mirror(y: Tensor, bands: int, multiple: int) -> Tensor:
    """A cube lengthened by reflection to `bands`, and to multiples of rows and columns."""
    sizes = (bands, *(-(-n // multiple) * multiple for n in y.shape[1:]))
    for axis, size in enumerate(sizes):
        n = y.shape[axis]
        if size > n:
            period = max(1, 2 * (n - 1))
            at = torch.arange(size, device=y.device) % period
            y = y.index_select(axis, torch.where(at < n, at, period - at))
    return y


def trained(
    weights: str | Path | None = None,
    window: int | None = 256,
    overlap: int = 16,
    band_overlap: int = 2,
    blend: str = "cosine",
) -> Neural:
    """The network in a file of `unnoise train hyde`, ready to use; `None`: the shipped `qrnn2d`, where there is one.

    `window` is its rows and columns, `None` for all at once; windows share `overlap` rows and columns and
    `band_overlap` bands, and are put together by `blend`.

    Raises
    ------
    InputError : no weights, weights of something else, or windows that do not fit.
    """
    from unnoise.zoo import load, models

    if weights is None:
        weights = SHIPPED
        if all(model.name != SHIPPED for model in models()):
            raise InputError(
                "method neural needs weights, and none come with unnoise: train them (unnoise train hyde), then add "
                "--set weights=runs/hyde/qrnn2d.safetensors"
            )
    denoiser = load(weights)
    if not isinstance(denoiser, Neural):
        raise InputError(f"the weights {weights} are not of a network for cubes: give a file of unnoise train hyde")
    denoiser.window = None if window is None else whole("window", window)
    denoiser.overlap = (whole("overlap", overlap, 0),) * 2 + (whole("band_overlap", band_overlap, 0),)
    denoiser.blend = blend
    for size, shared in ((denoiser.window, overlap), (denoiser.band_window, band_overlap)):
        plan(1 if size is None else size + 1, size, shared, blend)  # says what does not fit before anything runs
    return denoiser
