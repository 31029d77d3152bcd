"""Start a wide network from a narrow one of the same shape, with the same output before its first step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


@torch.no_grad()
def widen(net: nn.Module, narrow: Mapping[str, Tensor]) -> None:
    """Give a bias-free convolutional `net` the weights of one with fewer channels, in place.

    Trained weights fill the first rows and columns; the new outputs of a layer keep their random weights, and the old
    outputs do not read the new inputs. So the old channels compute what they did, and the new ones, whose gradients
    are not zero, learn from there (Chen et al. 2016, "Net2Net", with zeros in the place of copies).

    Parameters
    ----------
    narrow : the state of the narrow network, the same names with at most `net`'s sizes.

    Raises
    ------
    ValueError : another set of names, or a layer that is wider than in `net`.
    """
    if narrow.keys() != net.state_dict().keys():
        raise ValueError("the two networks have different layers")
    for name, layer in net.named_modules():
        if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            continue
        trained, swap = narrow[f"{name}.weight"], isinstance(layer, nn.ConvTranspose2d)
        # outputs first: a transposed convolution has them second
        wide, old = (w.transpose(0, 1) if swap else w for w in (layer.weight, trained))
        if any(a < b for a, b in zip(wide.shape, old.shape, strict=True)) or wide.shape[2:] != old.shape[2:]:
            raise ValueError(f"{name} has the shape {tuple(old.shape)}, which does not fit into {tuple(wide.shape)}")
        outputs, inputs = old.shape[:2]
        wide[:outputs] = 0
        wide[:outputs, :inputs] = old
