"""The whole Jacobian of a denoiser at one picture: ours beside the loop over rows that the paper's code takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from unnoise.benchmarks.harness import BenchReport, Contender, Progress, Work, compare

if TYPE_CHECKING:
    from torch import Tensor

    from unnoise.explain.harmonic_nets import BFUNet

LOOP = "one row at a time"


def run(
    folder: Path,
    *,
    repeats: int = 5,
    threads: int | None = None,
    quick: bool = False,
    progress: Progress = lambda text: None,
) -> BenchReport:
    """Compare them and write `jacobian.json` into `folder`; `quick` takes a picture of 8 x 8 pixels."""
    options = {"side": 8 if quick else 32, "width": 16 if quick else 32}
    here = "unnoise.benchmarks.jacobian"
    report = compare(
        "jacobian",
        [
            Contender("unnoise", f"{here}:ours", options, ours=True),
            Contender("unnoise, normalisation folded", f"{here}:ours_folded", options, ours=True),
            Contender(LOOP, f"{here}:loop", options),
        ],
        reference=LOOP,
        unit="Jacobian",
        repeats=repeats,
        threads=threads,
        notes=f"BF-UNet of width {options['width']}, two scales, {options['side']} x {options['side']}, float32; "
        "difference is the largest to the other way, relative to the largest entry",
        progress=progress,
    )
    report.save(folder / "jacobian.json")
    return report


def ours(side: int, width: int, fold: bool = False) -> Work:
    """`explain.harmonic_bases.jacobian`: reverse differentiation of 64 rows at once through one forward pass."""
    from unnoise.explain.harmonic_bases import jacobian
    from unnoise.explain.harmonic_nets import folded

    net, y = _case(side, width)
    taken = folded(net) if fold else net
    return Work(lambda: jacobian(taken, y), score=lambda j: {"difference": _apart(j, _rows(net, y))})


def ours_folded(side: int, width: int) -> Work:
    """The same after the normalisations have become part of the convolutions."""
    return ours(side, width, fold=True)


def loop(side: int, width: int) -> Work:
    """`autograd.grad` of every output in turn, the graph kept."""
    from unnoise.explain.harmonic_bases import jacobian

    net, y = _case(side, width)
    return Work(lambda: _rows(net, y), score=lambda j: {"difference": _apart(j, jacobian(net, y))})


def _case(side: int, width: int) -> tuple[BFUNet, Tensor]:
    import torch

    from unnoise.explain.harmonic_nets import BFUNet

    torch.manual_seed(0)
    net = BFUNet(width=width, blocks=2)
    for p in net.parameters():
        if p.ndim == 1:
            torch.nn.init.uniform_(p, 0.5, 1.5)  # scales of a trained size: at the start they are all but 0
    net.train()
    net(torch.rand(8, 1, side, side))
    return net.eval(), torch.rand(1, 1, side, side)


def _rows(net: BFUNet, y: Tensor) -> Tensor:
    import torch

    y = y.clone().requires_grad_()
    out = net(y).flatten()
    return torch.stack([torch.autograd.grad(row, y, retain_graph=True)[0].flatten() for row in out])


def _apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())
