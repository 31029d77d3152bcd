"""Published denoising networks with their authors' weights, to stand beside: DnCNN, FFDNet, BF-CNN.

Weights are `.npz` files of arrays under the names of the authors' state dictionaries.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Net = Callable[[Tensor, float], Tensor]
"""`(y (B, C, H, W) in [0, 1], sigma) -> clean estimate`."""


def load_published(path: Path) -> Net:
    """The network in a file of `weights/`, told by its name: `dncnn*`, `ffdnet*`, `bfcnn*`, `bcnn*`."""
    with np.load(path) as file:
        weights = {name: torch.from_numpy(file[name].astype(np.float32)) for name in file.files}
    kinds: dict[str, Callable[[dict[str, Tensor]], Net]] = {
        "dncnn": _dncnn,
        "ffdnet": _ffdnet,
        "bfcnn": _bfcnn,
        "bcnn": _bfcnn,
    }
    return kinds[path.name.split("_")[0]](weights)


def _dncnn(w: dict[str, Tensor]) -> Net:
    """Zhang et al. 2017, "Beyond a Gaussian denoiser": 17 convolutions with batch normalisation, of one level."""
    convolutions = sorted(
        (int(name.split(".")[1]), value) for name, value in w.items() if name.endswith("weight") and value.ndim == 4
    )

    def net(y: Tensor, sigma: float) -> Tensor:
        h = y
        for k, (place, kernel) in enumerate(convolutions):
            h = F.conv2d(h, kernel, padding=1)
            if 0 < k < len(convolutions) - 1:
                mean, var, gain, bias = (
                    w[f"dncnn.{place + 1}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
                )
                h = F.batch_norm(h, mean, var, gain, bias, eps=1e-5)
            if k < len(convolutions) - 1:
                h = F.relu(h)
        return y - h

    return net


def _ffdnet(w: dict[str, Tensor]) -> Net:
    """Zhang, Zuo and Zhang 2018, "FFDNet": convolutions at half resolution with a map of the noise level."""
    swap = [4 * (c // 4) + (0, 2, 1, 3)[c % 4] for c in range(w["conv0.weight"].shape[1] - 1)]
    layers = [(w[f"conv{k}.weight"], w[f"conv{k}.bias"]) for k in range(len(w) // 2)]

    def net(y: Tensor, sigma: float) -> Tensor:
        height, width = y.shape[2:]
        padded = F.pad(y, (0, width % 2, 0, height % 2), mode="replicate")
        h = F.pixel_unshuffle(padded, 2)[:, swap]  # the authors go down the columns of each 2 x 2 block first
        h = torch.cat([h, torch.full_like(h[:, :1], sigma)], 1)
        for k, (kernel, bias) in enumerate(layers):
            h = F.conv2d(h, kernel, bias, padding=1)
            h = F.relu(h) if k < len(layers) - 1 else h
        return F.pixel_shuffle(h[:, swap], 2)[..., :height, :width]

    return net


def _bfcnn(w: dict[str, Tensor]) -> Net:
    """Mohan et al. 2020, "Robust and interpretable blind image denoising": blind; without biases, or with (`bcnn`)."""

    def net(y: Tensor, sigma: float) -> Tensor:
        h = F.relu(F.conv2d(y, w["first_layer.weight"], w.get("first_layer.bias"), padding=1))
        for k in range(18):
            h = F.conv2d(h, w[f"hidden_layer_list.{k}.weight"], w.get(f"hidden_layer_list.{k}.bias"), padding=1)
            scale, variance = (w[f"bn_layer_list.{k}.{part}"] for part in ("weight", "running_var"))
            bias = w.get(f"bn_layer_list.{k}.bias")  # normalisation without biases neither centres nor shifts
            mean = torch.zeros_like(variance) if bias is None else w[f"bn_layer_list.{k}.running_mean"]
            h = F.relu(F.batch_norm(h, mean, variance, scale, bias, eps=1e-5))
        return y - F.conv2d(h, w["last_layer.weight"], w.get("last_layer.bias"), padding=1)

    return net
