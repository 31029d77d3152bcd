"""A U-Net's residual blocks for inference on the CPU: each convolution in one pass over memory, or in 8-bit integers.

In 8 bits weights are int8, symmetric, with a scale for each output channel; activations are uint8 with a scale for each
tensor, fixed in advance, so that a tile gets what the whole picture would. The sum that runs past the blocks, and all
other layers, stay in floating point. Source: Krishnamoorthi 2018, "Quantizing deep convolutional networks for efficient
inference".
"""

from __future__ import annotations

import copy
import platform
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import NamedTuple

import torch
from torch import Tensor, nn

from unnoise.errors import InputError
from unnoise.nets.unet import ResBlock, UNet

# To be removed from torch one day; nothing else there turns floats into uint8 in one pass over memory.
warnings.filterwarnings("ignore", message="torch.quantize_per_tensor")

Range = tuple[float, float, float]
"""Lowest and highest value that enters a block, and the highest behind its ReLU."""

SAMPLE = 20_000  # activations kept of each example to choose a range
ONES = [1, 1]  # stride, padding and dilation of every convolution here


def fast_supported() -> bool:
    """Whether `prepared` works here: oneDNN on an x86 processor."""
    return platform.machine().lower() in ("x86_64", "amd64") and torch.backends.mkldnn.is_available()


def int8_supported() -> bool:
    """Whether this processor multiplies 8-bit integers into 32-bit sums (VNNI)."""
    return fast_supported() and bool(torch.cpu._is_vnni_supported())


def prepared(net: UNet, dtype: torch.dtype, ranges: Sequence[Range | None] | None = None) -> UNet:
    """A copy of `net` with its weights of now, for inference on CPU tensors; equal to it up to rounding.

    Parameters
    ----------
    dtype : bfloat16 or float32, of what enters the blocks.
    ranges : of `activation_ranges`: blocks that have one compute in 8 bits where the processor can.

    Raises
    ------
    InputError : not one range for each block.
    """
    fast, count = copy.deepcopy(net), len(_blocks(net))
    spans = iter([None] * count if ranges is None else ranges)
    if ranges is not None and len(ranges) != count:
        raise InputError(f"a network of {count} residual blocks needs as many ranges, got {len(ranges)}")
    for stage in [*fast.encoder, *fast.decoder]:
        for k, block in enumerate(stage):
            span = next(spans)
            stage[k] = FusedBlock(block, dtype) if span is None or not int8_supported() else Int8Block(block, span)
    return fast


class FusedBlock(nn.Module):
    """A `ResBlock` whose ReLU and sum are done while a convolution writes its result; it adds to its input in place."""

    def __init__(self, block: ResBlock, dtype: torch.dtype) -> None:
        super().__init__()
        self.first, self.second = (
            torch.ops.mkldnn._reorder_convolution_weight(conv.weight.detach().to(dtype), ONES, ONES, ONES, 1, None)
            for conv in (block.conv1, block.conv2)
        )

    def forward(self, h: Tensor) -> Tensor:
        """Shape in, shape out, of the dtype it was made for."""
        ops = torch.ops.mkldnn
        inner = ops._convolution_pointwise(h, self.first, None, ONES, ONES, ONES, 1, "relu", [], "")
        total: Tensor = ops._convolution_pointwise_.binary(
            h, inner, self.second, None, ONES, ONES, ONES, 1, "add", 1.0, None, [], None
        )
        return total


class Int8Block(nn.Module):
    """A `ResBlock` in 8-bit arithmetic; it adds to its input in place.

    Parameters
    ----------
    block : the trained block.
    span : its activations' range; values beyond are clipped.
    """

    def __init__(self, block: ResBlock, span: Range) -> None:
        super().__init__()
        low, high, hidden = min(span[0], 0.0), max(span[1], 0.0), span[2]
        self.scale = max((high - low) / 255, 1e-12)
        self.zero = round(-low / self.scale)
        self.hidden = max(hidden / 255, 1e-12)
        self.first, self.second = _packed(block.conv1.weight), _packed(block.conv2.weight)

    def forward(self, h: Tensor) -> Tensor:
        """Shape in, shape out; float32 or bfloat16."""
        ops = torch.ops.onednn
        q = torch.quantize_per_tensor(h.float(), self.scale, self.zero, torch.quint8).int_repr()
        q = ops.qconv2d_pointwise(
            q, self.scale, self.zero, *self.first, None, ONES, ONES, ONES, 1,
            self.hidden, 0, torch.uint8, "relu", [], "",
        )  # fmt: skip
        total: Tensor = ops.qconv2d_pointwise.binary(
            q, self.hidden, 0, *self.second, h, None, ONES, ONES, ONES, 1,
            1.0, 0, h.dtype, 1.0, 0, "sum", 1.0, "none", [], "",
        )  # fmt: skip
        return total


class Packed(NamedTuple):
    """Weights in oneDNN's own layout, their scales and zero points (which are 0)."""

    weight: Tensor
    scale: Tensor
    zero: Tensor


def rounded(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (out, in, h, w) as int8 codes and scales (out, 1, 1, 1): `codes * scale` is within half a scale.

    Scales have eight significant bits, so that 127 of them is exact and rounding again changes nothing.
    """
    scale = (weight.abs().amax(dim=(1, 2, 3), keepdim=True) / 127).clamp(min=1e-12).bfloat16().float()
    return (weight / scale).round().to(torch.int8), scale


def _packed(weight: Tensor) -> Packed:
    codes, scale = rounded(weight.detach().float())
    scale = scale.flatten()
    packed = torch.ops.onednn.qconv_prepack(codes, scale, 1.0, 0, ONES, ONES, ONES, 1, None)
    return Packed(packed, scale, torch.zeros(len(scale), dtype=torch.int32))


@torch.inference_mode()
def activation_ranges(net: UNet, run: Callable[[], object]) -> list[Range | None]:
    """Ranges for `prepared`, from the activations while `run()` puts examples through `net`.

    Blocks of the finest stage get none: rounding their activations, which hold the picture itself, costs up to 0.1 dB,
    that of all others 0.002 (docs/training.md). Values are few near the ends, so a narrower range with finer steps has
    less error, though it clips: of forty fractions of what was seen, the one with the least mean `|error|^2.4` (Nahshan
    et al. 2021, "Loss aware post-training quantization").
    """
    blocks = _blocks(net)
    entered: list[list[Tensor]] = [[] for _ in blocks]
    hidden: list[list[Tensor]] = [[] for _ in blocks]

    def keep(samples: list[Tensor]) -> Callable[[nn.Module, tuple[Tensor]], None]:
        def hook(_: nn.Module, args: tuple[Tensor]) -> None:
            values = args[0].float().flatten()
            samples.append(torch.cat([values[:: max(1, len(values) // SAMPLE)], torch.stack(values.aminmax())]))

        return hook

    with ExitStack() as hooks:
        for block, a, b in zip(blocks, entered, hidden, strict=True):
            hooks.callback(block.register_forward_pre_hook(keep(a)).remove)
            hooks.callback(block.conv2.register_forward_pre_hook(keep(b)).remove)
        run()
    finest = {id(block) for stage in (net.encoder[0], *net.decoder[:1]) for block in stage}
    ranges: list[Range | None] = []
    for block, a, b in zip(blocks, entered, hidden, strict=True):
        low, high = _span(torch.cat(a))
        ranges.append(None if id(block) in finest else (low, high, _span(torch.cat(b))[1]))
    return ranges


def int8_weights(net: UNet, ranges: Sequence[Range | None]) -> list[str]:
    """Names, in the state of `net`, of the weights that are used in 8 bits."""
    inside = {id(block) for block, span in zip(_blocks(net), ranges, strict=True) if span is not None}
    return [
        f"{name}.{conv}.weight" for name, m in net.named_modules() if id(m) in inside for conv in ("conv1", "conv2")
    ]


def _blocks(net: UNet) -> list[ResBlock]:
    """In the order of the modules: down, then up, finest first."""
    return [block for stage in [*net.encoder, *net.decoder] for block in stage]


def _span(values: Tensor) -> tuple[float, float]:
    """Lowest and highest value worth a code, of a sample that contains the lowest and the highest."""
    low, high = (float(v) for v in values.aminmax())
    low, high = min(low, 0.0), max(high, 1e-9)

    def error(share: float) -> float:
        scale = share * (high - low) / 255
        zero = round(-share * low / scale)
        codes = (values / scale).round().add_(zero).clamp_(0, 255).sub_(zero)
        return float((codes * scale - values).abs_().pow_(2.4).mean())

    best = min((k / 40 for k in range(1, 41)), key=error)
    return best * low, best * high
