"""The shipped photo denoisers: a bias-free U-Net for Gaussian noise of known level, and its blind sibling."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch
from torch import Tensor

from unnoise.denoiser.base import Card, Denoiser, Sigma, expand_sigma
from unnoise.denoiser.ensemble import Ensemble
from unnoise.denoiser.tiling import Tiled
from unnoise.errors import InputError
from unnoise.nets.fast import Range, fast_supported, int8_weights, prepared
from unnoise.nets.unet import UNet


def fast_precision() -> str:
    """ "bfloat16" where the processor multiplies it natively, "float32" elsewhere (where emulation would be slower)."""
    if torch.cuda.is_available():
        return "bfloat16"
    return "bfloat16" if _native_bfloat16() else "float32"


def _native_bfloat16() -> bool:
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


SIGMA_MAX = 75 / 255  # strongest noise of the training
MOST = 5.0  # standard deviations that noise is taken to reach: two pixels in a million lie beyond


class Photo(Denoiser):
    """`D(y, sigma) = y - net([y, sigma])` on RGB or gray photographs in [0, 1].

    The noise level enters as one more channel, a map, and nothing in the net has an offset: `D(a y, a sigma) =
    a D(y, sigma)` for every a > 0, so levels outside the trained range behave. A gray picture runs as three equal
    channels, whose corrections are averaged. A level given per channel enters as its root mean square. No value changes
    by more than five times the level, so where that is 0 the picture stays as it is.

    Parameters
    ----------
    widths, blocks, decoder_blocks, unshuffle : of `nets.unet.UNet`.
    blind : ignore sigma, for noise whose level is not known; else sigma is required.
    precision : "bfloat16" or "float32" arithmetic inside when not training; the last convolution and the subtraction
        are always float32. `None`: what `fast_precision` says. "fast": the same with blocks prepared for
        inference (`nets.fast`), on the CPU and where no gradient is asked for.
    ranges : of the activations of the blocks that then compute in 8 bits, from `nets.fast.activation_ranges`.

    Attributes
    ----------
    scale : factor on sigma, 1 unless set.

    Examples
    --------
    >>> denoiser = Photo(widths=(16, 32), blocks=(1, 1), precision="float32").eval()
    >>> y = torch.rand(1, 3, 10, 13)
    >>> with torch.no_grad():
    ...     bool(torch.allclose(denoiser(2 * y, 0.2), 2 * denoiser(y, 0.1), atol=1e-6))
    True
    """

    def __init__(
        self,
        widths: Sequence[int] = (48, 96, 192),
        blocks: Sequence[int] = (2, 2, 2),
        decoder_blocks: Sequence[int] | None = None,
        unshuffle: int = 2,
        blind: bool = False,
        precision: str | None = None,
        ranges: Sequence[Range | None] | None = None,
    ) -> None:
        super().__init__()
        self.net = UNet(3 if blind else 4, 3, widths, blocks, decoder_blocks, unshuffle)
        self.precision = precision or fast_precision()
        self.ranges = ranges
        self.scale = 1.0
        self._fast: tuple[object, UNet] | None = None  # prepared, with a mark of the weights it was made of
        self.card = Card(
            kind="photo",
            sigma_range=None if blind else (0.0, SIGMA_MAX),
            reach=self.net.reach,
            stride=self.net.stride,
            precision=("8 bits inside, " if ranges else "") + "bfloat16 where the processor has it, else float32",
        )

    def int8_weights(self) -> list[str]:
        """Names of the weights that are used, and so can be stored, in 8 bits."""
        return [f"net.{name}" for name in int8_weights(self.net, self.ranges)] if self.ranges else []

    def forward(self, y: Tensor, sigma: Sigma = None) -> Tensor:
        """Clean estimate of `y` (B, 1 or 3, H, W); `sigma` as `expand_sigma` takes it."""
        if y.ndim != 4 or y.shape[1] not in (1, 3):
            raise InputError(
                f"the photo network takes (batch, 1 or 3, H, W), got {tuple(y.shape)}: reshape the picture"
            )
        z, beyond = y.float().expand(-1, 3, -1, -1), None
        if not self.card.blind:
            level = self.scale * expand_sigma(sigma, y).float()
            if level.shape[1] > 1:
                level = level.square().mean(1, keepdim=True).sqrt()
            z = torch.cat([z, level.expand(len(y), 1, *y.shape[2:])], 1)
            if self.ranges:  # 8-bit numbers end where training did; the scale of picture and level is free
                beyond = (level.amax((1, 2, 3), keepdim=True) / SIGMA_MAX).clamp(min=1)
        with self._arithmetic(y.device.type):
            noise = self._net(y)(z) if beyond is None else beyond * self._net(y)(z / beyond)
        if y.shape[1] == 1:
            noise = noise.mean(1, keepdim=True)
        if not self.card.blind and not self.training:
            noise = torch.clamp(noise, -MOST * level, MOST * level)
        return (y - noise).to(y.dtype)

    def _arithmetic(self, device: str) -> AbstractContextManager[object]:
        """While training, the training loop has chosen it already."""
        if self.training:
            return nullcontext()
        fast = fast_precision() if self.precision == "fast" else self.precision
        return torch.autocast(device, torch.bfloat16, enabled=fast == "bfloat16")

    def _net(self, y: Tensor) -> UNet:
        """The network, or its prepared copy, made anew when the weights have changed."""
        graph = torch.is_grad_enabled() and (y.requires_grad or any(p.requires_grad for p in self.parameters()))
        if self.precision != "fast" or self.training or graph or y.device.type != "cpu" or not fast_supported():
            return self.net
        if fast_precision() == "bfloat16" and not _native_bfloat16():  # a graphics card, beside a processor without it
            return self.net
        if self._fast is None or self._fast[0] != self._mark():
            dtype = torch.bfloat16 if fast_precision() == "bfloat16" else torch.float32
            self._fast = self._mark(), prepared(self.net, dtype, self.ranges)
        return self._fast[1]

    def _mark(self) -> list[tuple[int, int]]:
        """Changes when a weight does."""
        return [(p.data_ptr(), 0 if p.is_inference() else p._version) for p in self.net.parameters()]

    def __getstate__(self) -> dict[str, object]:
        """Copies and other processes prepare their own network."""
        return {**self.__dict__, "_fast": None}


def trained(scale: float = 1.0, ensemble: bool = False) -> Denoiser:
    """The `photo` weights that come with the package; its card says what they were trained on and what they reach.

    Parameters
    ----------
    scale : factor on the noise level the network is told; below 1 it is gentler.
    ensemble : average over the eight flips and rotations: eight times slower, a little better.
    """
    return _shipped("photo", scale, ensemble)


def trained_real(ensemble: bool = False) -> Denoiser:
    """The blind `photo-real` weights that come with the package; `ensemble` as for `trained`."""
    return _shipped("photo-real", 1.0, ensemble)


def _shipped(name: str, scale: float, ensemble: bool) -> Denoiser:
    if not scale > 0:
        raise InputError(f"scale must be above 0, got {scale:g}")
    shipped = _loaded(name)
    denoiser = copy.deepcopy(shipped)
    denoiser.scale = scale
    if shipped._fast is not None:  # of the same weights
        denoiser._fast = denoiser._mark(), shipped._fast[1]
    return Ensemble(Tiled(denoiser)) if ensemble else denoiser


@cache
def _loaded(name: str) -> Photo:
    """Reading a file takes as long as a small picture; a copy of what was read does not."""
    from unnoise.zoo.files import load

    denoiser = load(name).requires_grad_(False)
    assert isinstance(denoiser, Photo)
    denoiser.precision = "fast"
    denoiser._net(torch.empty(0))  # prepares it, which takes as long as a small picture, too
    return denoiser
