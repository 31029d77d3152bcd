"""Methods for hyperspectral cubes beside HyDe 0.4.3, which lives in an environment of its own.

Both get the same noisy cube: Jasper Ridge with Gaussian noise of 0.1, HYDICE with mixed noise for the two methods that
are made for it, and Jasper Ridge with values missing for FastHyIn. HyDe runs with the arguments of its own benchmark,
ours with defaults: one configuration for quality and time. HyDe needs old packages, so it is run by the interpreter
that UNNOISE_HYDE_PYTHON names.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unnoise.benchmarks.harness import BenchReport, Contender, Progress, Work, compare
from unnoise.errors import MissingExtra

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    Cube = NDArray[np.float32]

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "hyres": ("HyRes", {}),
    "hyminor": ("HyMiNoR", {"lam": 10.0, "iterations": 50}),
    "forpdn": ("FORPDN_SURE", {}),
    "wsrrr": ("WSRRR", {"rank": 10}),
    "otvca": ("OTVCA", {"features": 6, "num_itt": 10, "lam": 0.01}),
    "fasthyde": ("FastHyDe", {"k_subspace": 10, "noise_type": "additive", "iid": True}),
    "fasthyin": ("FastHyIe", {"k_subspace": 10, "noise_type": "additive", "iid": True}),
    "l1hymixde": ("L1HyMixDe", {"k_subspace": 8, "p": 0.05, "max_iter": 10}),
}
"""Our method -> HyDe's class and the arguments of its call."""
MIXED = ("hyminor", "l1hymixde")
HOLES = ("fasthyin",)
VARIABLE = "UNNOISE_HYDE_PYTHON"


def run(
    folder: Path,
    *,
    repeats: int = 3,
    threads: int | None = None,
    quick: bool = False,
    progress: Progress = lambda text: None,
) -> BenchReport:
    """Compare all, write `cubes.json` into `folder`; `quick` takes a small synthetic cube and needs no data."""
    here = "unnoise.benchmarks.cubes"
    python = os.environ.get(VARIABLE)
    contenders = []
    for name, (theirs, _) in METHODS.items():
        options = {"method": name, "quick": quick}
        contenders.append(Contender(f"unnoise {name}", f"{here}:ours", options, ours=True))
        # without an interpreter of its own the peer is looked for here, and skipped with the reason
        contenders.append(Contender(f"HyDe {theirs}", f"{here}:hyde", options, python=python))
    same = {"method": "fasthyde", "quick": quick, "bm3d": True}
    contenders.append(Contender("unnoise fasthyde with BM3D, as HyDe", f"{here}:ours", same, ours=True))
    scene = "Jasper Ridge (100 x 100 x 198) with Gaussian noise of 0.1, HYDICE (100 x 80 x 162) with mixed noise"
    if quick:
        scene = "a synthetic cube (48 x 44 x 30) with Gaussian noise of 0.1, mixed noise"
    report = compare(
        "cubes",
        contenders,
        reference="unnoise hyres",
        unit="cube",
        repeats=repeats,
        threads=threads,
        notes=f"{scene} for {' and '.join(MIXED)}, a fifth of the bands missing in a tenth of the pixels for fasthyin; "
        "mpsnr in dB, sam in degrees",
        progress=progress,
    )
    report = replace(report, notes=f"{report.notes}; {ratios(report)}")
    report.save(folder / "cubes.json")
    return report


def ratios(report: BenchReport) -> str:
    """How many times HyDe's processor seconds ours are in, over the methods that both ran.

    Processor time, not the clock: with one thread they are the same on a quiet machine, and other work disturbs the
    clock alone.
    """
    seconds = {r.name: r.cpu for r in report.results}
    both = {
        name: seconds[f"HyDe {theirs}"] / seconds[f"unnoise {name}"]
        for name, (theirs, _) in METHODS.items()
        if f"HyDe {theirs}" in seconds
    }
    if not both:
        return "HyDe did not run"
    mean = math.exp(sum(map(math.log, both.values())) / len(both))
    each = ", ".join(f"{name} {ratio:.1f}" for name, ratio in sorted(both.items(), key=lambda pair: pair[1]))
    return f"HyDe's processor seconds over ours: geometric mean {mean:.1f} ({each})"


def _cube(method: str, quick: bool) -> tuple[Cube, Cube, NDArray[np.bool_] | None]:
    """Clean and noisy cube, and where values are there, `None` for everywhere; missing ones are 0, inside the range of
    the others, so that HyDe's scaling by the extent of a band is not disturbed.
    """
    import numpy as np

    from unnoise.data.cube_sets import real_cube, synthetic_cube, with_noise

    mixed = method in MIXED
    x = synthetic_cube() if quick else real_cube("hydice" if mixed else "jasper")
    y = with_noise(x, "mixed" if mixed else "iid")
    if method not in HOLES:
        return x, y, None
    rng = np.random.default_rng(1)
    missing = (rng.random(x.shape[:2]) < 0.1)[..., None] & (rng.random(x.shape) < 0.2)
    return x, np.where(missing, np.float32(0), y), ~missing


def _work(clean: Callable[[], Any], x: Cube) -> Work:
    from unnoise.metrics.cube import mpsnr, sam

    def score(result: Any) -> Mapping[str, float]:
        return {"mpsnr": mpsnr(result, x), "sam": sam(result, x)}

    return Work(clean, score=score)


def ours(method: str, quick: bool, bm3d: bool = False) -> Work:
    """A method with its defaults; the result is (H, W, bands). `bm3d`: with HyDe's denoiser of eigen-images."""
    import numpy as np
    import torch

    from unnoise.restore import METHODS as ALL

    x, y, there = _cube(method, quick)
    denoiser = ALL[method].create(**({"denoiser": bm3d_of_images()} if bm3d else {}))
    tensor = torch.from_numpy(np.ascontiguousarray(y.transpose(2, 0, 1)))[None]
    given = {} if there is None else {"mask": torch.from_numpy(np.ascontiguousarray(there.transpose(2, 0, 1)))[None]}
    return _work(lambda: denoiser(tensor, **given)[0].permute(1, 2, 0).numpy(), x)


def bm3d_of_images() -> nn.Module:
    """The authors' BM3D on pictures (n, 1, H, W) one by one, as HyDe uses it."""
    import numpy as np
    import torch
    from torch import nn

    try:
        from bm3d import bm3d
    except ImportError as error:
        raise MissingExtra("bench") from error

    class BM3D(nn.Module):
        def forward(self, y: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            clean = [bm3d(p.double().numpy(), float(s)) for p, s in zip(y[:, 0], sigma.flatten(), strict=True)]
            return torch.from_numpy(np.stack(clean)[:, None]).to(y)

    return BM3D()


def hyde(method: str, quick: bool) -> Work:
    """HyDe's class for the same method."""
    import importlib

    import torch

    try:
        package = importlib.import_module("hyde")
    except ImportError as error:
        raise MissingPeer from error
    x, y, there = _cube(method, quick)
    name, arguments = METHODS[method]
    model = getattr(package, name)()
    tensor = torch.from_numpy(y)
    given = () if there is None else (torch.from_numpy(there).to(tensor.dtype),)

    def clean() -> Any:
        with torch.no_grad():
            result = model(tensor.clone(), *given, **arguments)
        return (result[0] if isinstance(result, tuple) else result).numpy()

    return _work(clean, x)


class MissingPeer(MissingExtra):
    """HyDe is not there."""

    def __init__(self) -> None:
        ImportError.__init__(
            self,
            f"needs HyDe in an environment of its own: install torch, kornia, bm3d, einops, scikit-image, six, "
            f"'setuptools<80' and, without their dependencies, hyde-images==0.4.3 and pytorch-wavelets==1.3.0 there, "
            f"and set {VARIABLE} to its python",
        )
