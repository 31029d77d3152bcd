"""Noisy Bayer mosaics to colour: Wild-JDD beside demosaicking followed by denoising, and beside demosaicnet.

Mosaics of photographs with white noise of four levels. Who needs the noise level is told it; Wild-JDD finds it by
itself, demosaicnet's released network is for mosaics without noise. Its package asks for libraries of its own time, so
it is run from the environment that UNNOISE_DEMOSAICNET_PYTHON names, where torch is installed, too.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unnoise.benchmarks.harness import BenchReport, Contender, Progress, Work, compare
from unnoise.errors import MissingExtra

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Picture = NDArray[np.float32]

HERE = "unnoise.benchmarks.raw"
SETS = {"mcmaster": 6, "cbsd68": 17}
"""Test set -> of which each n-th picture is taken."""
ENVIRONMENT = "UNNOISE_DEMOSAICNET_PYTHON"


def run(
    folder: Path,
    *,
    repeats: int = 3,
    threads: int | None = None,
    quick: bool = False,
    progress: Progress = lambda text: None,
) -> BenchReport:
    """Compare all, write `raw.json` and `raw.webp` into `folder`; `quick` takes two small crops and two levels."""
    from unnoise.benchmarks.figure import quality_time

    options = {"quick": quick}
    ours = {"unnoise jdd": "jdd", "Malvar + unnoise photo": "malvar_photo"}
    peers = {"Menon": "menon", "Menon + unnoise photo": "menon_photo", "Malvar": "malvar"}
    contenders = [Contender(name, f"{HERE}:{target}", options, ours=True) for name, target in ours.items()]
    contenders += [Contender(name, f"{HERE}:{target}", options) for name, target in peers.items()]
    python = os.environ.get(ENVIRONMENT)
    contenders.append(Contender("demosaicnet", f"{HERE}:demosaicnet", options, python=python))
    report = compare(
        "raw",
        contenders,
        reference="unnoise jdd",
        unit="megapixel",
        repeats=repeats,
        threads=threads,
        notes=_notes(quick),
        progress=progress,
    )
    report.save(folder / "raw.json")
    quality_time(report, "mean", "PSNR in dB, mean over sets and levels", folder / "raw.webp")
    return report


def jdd(quick: bool) -> Work:
    """Wild-JDD as it comes along, one network for all levels."""
    import torch

    from unnoise.restore.jdd import network
    from unnoise.restore.wild_jdd import tiled

    net = network()

    @torch.inference_mode()
    def develop(y: Picture, level: float) -> Picture:
        [mean] = tiled(net, torch.from_numpy(y)[None, None], keep=lambda piece: (net.mean(piece),), reach=net.sight)
        return _picture(mean)

    return _work(develop, quick)


def malvar_photo(quick: bool) -> Work:
    """Gradient-corrected interpolation, then the photo denoiser told the level of the mosaic."""
    develop, denoise = _malvar(), _photo()
    return _work(lambda y, level: denoise(develop(y), level), quick)


def menon_photo(quick: bool) -> Work:
    """Directional interpolation, then the photo denoiser."""
    develop, denoise = _menon(), _photo()
    return _work(lambda y, level: denoise(develop(y), level), quick)


def malvar(quick: bool) -> Work:
    """colour-demosaicing's Malvar 2004 alone."""
    develop = _malvar()
    return _work(lambda y, level: develop(y), quick)


def menon(quick: bool) -> Work:
    """colour-demosaicing's Menon 2007 alone."""
    develop = _menon()
    return _work(lambda y, level: develop(y), quick)


def demosaicnet(quick: bool) -> Work:
    """Gharbi et al. 2016, its released weights, on whole mosaics; its pattern begins with green, ours with red."""
    import numpy as np
    import torch

    try:
        from demosaicnet import BayerDemosaick, bayer
    except ImportError as error:
        raise MissingPeer from error
    from unnoise.restore.photo import fast_precision

    net, fast = BayerDemosaick(pad=False).eval(), fast_precision() == "bfloat16"
    halo = 48  # its convolutions are not padded: mirror so much, then crop what it gives

    @torch.inference_mode()
    def develop(y: Picture, level: float) -> Picture:
        # a column more on the left, mirrored: red that begins a row comes second, as in its pattern
        padded = np.pad(y, ((halo, halo), (halo - 1, halo + 1)), mode="reflect")
        mosaic = bayer(torch.from_numpy(padded).expand(1, 3, -1, -1))
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            out = _picture(net(mosaic).float())
        top, left = ((a - b) // 2 for a, b in zip(padded.shape, out.shape, strict=False))
        height, width = y.shape
        return out[halo - top :][:height, halo - 1 - left :][:, :width]

    return _work(develop, quick)


class MissingPeer(MissingExtra):
    """demosaicnet is not there."""

    def __init__(self) -> None:
        ImportError.__init__(
            self,
            "needs demosaicnet in an environment of its own: install unnoise, setuptools<81, wget, tqdm and "
            f"demosaicnet==0.0.14 there, and set {ENVIRONMENT} to its python",
        )


def _malvar() -> Callable[[Picture], Picture]:
    import numpy as np

    found = _peer("demosaicing_CFA_Bayer_Malvar2004")
    return lambda y: np.asarray(found(y, "RGGB"), np.float32)


def _menon() -> Callable[[Picture], Picture]:
    import numpy as np

    found = _peer("demosaicing_CFA_Bayer_Menon2007")
    return lambda y: np.asarray(found(y, "RGGB"), np.float32)


def _peer(name: str) -> Any:
    try:
        import colour_demosaicing
    except ImportError as error:
        raise MissingExtra("bench") from error
    return getattr(colour_demosaicing, name)


def _photo() -> Callable[[Picture, float], Picture]:
    import torch

    from unnoise.denoiser import Tiled
    from unnoise.restore import METHODS

    denoiser = Tiled(METHODS["photo"].create(), 768)

    @torch.inference_mode()
    def denoise(x: Picture, level: float) -> Picture:
        if level == 0:
            return x
        return _picture(denoiser(torch.from_numpy(x.transpose(2, 0, 1).copy())[None], level / 255))

    return denoise


def _picture(batch: Any) -> Picture:
    found: Picture = batch[0].permute(1, 2, 0).numpy()
    return found


def clean_pictures(quick: bool = False) -> dict[str, list[Picture]]:
    """Clean pictures by set, those of `SETS` under UNNOISE_DATA, else crops of scikit-image's photographs."""
    from unnoise.data.catalog import root
    from unnoise.data.pairs import clean_set
    from unnoise.data.samples import sample_photo

    if quick or root() is None:
        edge = 48 if quick else 256
        return {"samples": [sample_photo(name)[:edge, 100 : 100 + edge] for name in ("astronaut", "coffee")]}
    return {name: [x for _, x in islice(clean_set(name), 0, None, every)] for name, every in SETS.items()}


def _notes(quick: bool) -> str:
    parts = [f"{len(pictures)} pictures of {name}" for name, pictures in clean_pictures(quick).items()]
    return f"Mosaics of {' and '.join(parts)}, white noise of four levels (of 255); RGB-PSNR by set and level"


def _work(develop: Callable[[Picture, float], Picture], quick: bool) -> Work:
    """The same mosaics with the same noise, one after the other, for everybody."""
    import numpy as np

    from unnoise.restore.wild_jdd_quality import LEVELS, noisy_mosaic, picture_psnr

    levels = (0, 10) if quick else LEVELS
    jobs = [
        (name, level, clean, noisy_mosaic(clean, level, i))
        for name, pictures in clean_pictures(quick).items()
        for level in levels
        for i, clean in enumerate(pictures)
    ]

    def quality(results: list[Picture]) -> dict[str, float]:
        found: dict[str, list[float]] = {}
        for (name, level, clean, _), x_hat in zip(jobs, results, strict=True):
            found.setdefault(f"{name} {level}", []).append(picture_psnr(np.asarray(x_hat, np.float32), clean))
        means = {key: float(np.mean(values)) for key, values in found.items()}
        return means | {"mean": float(np.mean(list(means.values())))}

    return Work(
        run=lambda: [develop(y, level) for _, level, _, y in jobs],
        amount=sum(y.size for *_, y in jobs) / 1e6,
        score=quality,
    )
