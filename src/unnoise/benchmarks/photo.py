"""Photographs with Gaussian noise of level 25: our methods beside scikit-image, OpenCV, BM3D and published networks.

Everybody is told the noise level and gets the same noisy float32 pictures, in colour (`photo`) or gray (`photo-gray`).
Peers run with the parameters that gave them the best PSNR on small crops of scikit-image's photographs, not with their
defaults; published networks run with their authors' weights (from UNNOISE_DATA), in the arithmetic ours runs in.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unnoise.benchmarks.harness import BenchReport, Contender, Progress, Work, compare

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Picture = NDArray[np.float32]

SIGMA = 25 / 255


def run(
    folder: Path,
    *,
    repeats: int = 3,
    threads: int | None = None,
    quick: bool = False,
    progress: Progress = lambda text: None,
) -> BenchReport:
    """Compare all in colour, write `photo.json` and `photo.webp` into `folder`; `quick` takes two small crops."""
    return _run("photo", PEERS, False, folder, repeats, threads, quick, progress)


def run_gray(
    folder: Path,
    *,
    repeats: int = 3,
    threads: int | None = None,
    quick: bool = False,
    progress: Progress = lambda text: None,
) -> BenchReport:
    """The same in gray, into `photo-gray.json` and `photo-gray.webp`."""
    return _run("photo-gray", GRAY_PEERS, True, folder, repeats, threads, quick, progress)


def _run(
    name: str,
    peers: dict[str, tuple[str, str | None]],
    gray: bool,
    folder: Path,
    repeats: int,
    threads: int | None,
    quick: bool,
    progress: Progress,
) -> BenchReport:
    from unnoise.benchmarks.figure import quality_time
    from unnoise.restore import METHODS

    methods = [m.name for m in METHODS.values() if "photo" in m.kinds and m.needs_sigma]
    here, options = "unnoise.benchmarks.photo", {"quick": quick, "gray": gray}
    contenders = [Contender(f"unnoise {m}", f"{here}:ours", {"method": m, **options}, ours=True) for m in methods]
    for peer, (function, weights) in peers.items():
        if weights is None or _data("weights", weights) is not None:
            given = {} if weights is None else {"weights": weights}
            contenders.append(Contender(peer, f"{here}:{function}", {**given, **options}))
    report = compare(
        name,
        contenders,
        reference="skimage nlm",
        unit="megapixel",
        repeats=repeats,
        threads=threads,
        notes=f"{_source(quick, gray)}, noise of level 25, not clipped; mean PSNR and SSIM of clipped results",
        progress=progress,
    )
    report.save(folder / f"{name}.json")
    quality_time(report, "psnr", "PSNR in dB, noise of level 25", folder / f"{name}.webp")
    return report


def pictures(quick: bool = False, gray: bool = False) -> list[Picture]:
    """Clean pictures in [0, 1]: four of CBSD68 or BSD68 under UNNOISE_DATA, else parts of four of scikit-image's."""
    import numpy as np
    from PIL import Image
    from skimage import data

    if (folder := _test_set(gray)) is not None and not quick:
        files = sorted(folder.iterdir())[::17]
        found = [np.asarray(Image.open(file).convert("L" if gray else "RGB")) for file in files]
    else:
        edge = 48 if quick else 256
        whole = [data.astronaut(), data.coffee()] + ([] if quick else [data.chelsea(), data.rocket()])
        found = [p[y : y + edge, x : x + edge] for p in whole for y, x in [((p.shape[0] - edge) // 2, 100)]]
        found = [np.asarray(Image.fromarray(p).convert("L" if gray else "RGB")) for p in found]
    return [np.asarray(p, np.float32) / np.float32(255) for p in found]


def _data(*parts: str) -> Path | None:
    path = Path(os.environ.get("UNNOISE_DATA", ""), *parts)
    return path if "UNNOISE_DATA" in os.environ and path.exists() else None


def _test_set(gray: bool) -> Path | None:
    return _data("clean_test", "BSD68" if gray else "CBSD68")


def _source(quick: bool, gray: bool) -> str:
    if quick:
        return "two small crops"
    name = "BSD68" if gray else "CBSD68"
    return f"four pictures of {name}" if _test_set(gray) else "four photographs of scikit-image, 256 x 256"


def _work(denoise: Callable[[Picture], Any], quick: bool, gray: bool = False) -> Work:
    """The same pictures and the same noise, one picture after the other, for everybody."""
    import numpy as np

    from unnoise.metrics import psnr, ssim

    clean = pictures(quick, gray)
    noisy = [
        x + np.float32(SIGMA) * np.random.RandomState(i).randn(*x.shape).astype(np.float32) for i, x in enumerate(clean)
    ]

    def quality(results: list[Picture]) -> dict[str, float]:
        cleaned = [np.clip(r, 0, 1).astype(np.float32) for r in results]
        pairs = list(zip(cleaned, clean, strict=True))
        return {
            "psnr": float(np.mean([psnr(a, b) for a, b in pairs])),
            "ssim": float(np.mean([ssim(a, b) for a, b in pairs])),
        }

    return Work(lambda: [denoise(y) for y in noisy], sum(x.shape[0] * x.shape[1] for x in clean) / 1e6, quality)


def ours(method: str, quick: bool, gray: bool) -> Work:
    """What a user of the library gets, through the door."""
    from unnoise.restore.door import denoise

    return _work(lambda y: denoise(y, method=method, sigma=SIGMA), quick, gray)


def skimage_nlm(quick: bool, gray: bool) -> Work:
    """`denoise_nl_means`, fast mode."""
    from skimage.restoration import denoise_nl_means as nlm

    h, axis = (0.7 * SIGMA, None) if gray else (0.6 * SIGMA, -1)
    return _work(lambda y: nlm(y, 5, 6, h, sigma=SIGMA, channel_axis=axis), quick, gray)


def skimage_wavelet(quick: bool, gray: bool) -> Work:
    """`denoise_wavelet`, BayesShrink in YCbCr."""
    import numpy as np
    from skimage.restoration import denoise_wavelet as wavelet

    options = {
        "wavelet": "db2",
        "sigma": SIGMA,
        "convert2ycbcr": not gray,
        "rescale_sigma": True,
        "channel_axis": None if gray else -1,
    }
    return _work(lambda y: wavelet(np.clip(y, 0, 1), **options), quick, gray)


def skimage_tv(quick: bool, gray: bool) -> Work:
    """`denoise_tv_chambolle`."""
    from skimage.restoration import denoise_tv_chambolle as tv

    weight, axis = (0.08, None) if gray else (0.1, -1)
    return _work(lambda y: tv(y, weight, channel_axis=axis), quick, gray)


def skimage_bilateral(quick: bool, gray: bool) -> Work:
    """`denoise_bilateral`."""
    from skimage.restoration import denoise_bilateral as bilateral

    colour, axis = (0.15, None) if gray else (0.05, -1)
    return _work(
        lambda y: bilateral(y, sigma_color=colour, sigma_spatial=2, mode="edge", channel_axis=axis),
        quick,
        gray,
    )


def opencv_bilateral(quick: bool, gray: bool) -> Work:
    """`bilateralFilter` on floats."""
    import cv2

    colour, space = (0.3, 2) if gray else (0.4, 3)
    return _work(lambda y: cv2.bilateralFilter(y, -1, colour, space), quick, gray)


def opencv_nlm(quick: bool, gray: bool) -> Work:
    """`fastNlMeansDenoising` and its twin for colours: 8 bits only, so the noise is clipped and rounded for them."""
    import cv2
    import numpy as np

    def denoise(y: Picture) -> Picture:
        if gray:
            counts = np.rint(np.clip(y, 0, 1) * 255).astype(np.uint8)
            return np.asarray(cv2.fastNlMeansDenoising(counts, None, 25, 5, 15) / np.float32(255))
        levels = cv2.cvtColor(np.rint(np.clip(y, 0, 1) * 255).astype(np.uint8), cv2.COLOR_RGB2BGR)
        cleaned = cv2.fastNlMeansDenoisingColored(levels, None, 20, 16, 3, 21)
        return np.asarray(cv2.cvtColor(cleaned, cv2.COLOR_BGR2RGB) / np.float32(255))

    return _work(denoise, quick, gray)


def bm3d_(quick: bool, gray: bool) -> Work:
    """The authors' BM3D, a binary package whose licence is not commercial."""
    try:
        from bm3d import bm3d, bm3d_rgb
    except ImportError as e:
        from unnoise.errors import MissingExtra

        raise MissingExtra("bench") from e
    return _work(lambda y: (bm3d if gray else bm3d_rgb)(y, SIGMA), quick, gray)


def network(weights: str, quick: bool, gray: bool) -> Work:
    """A published network, whole pictures at once."""
    import numpy as np
    import torch

    from unnoise.nets.published import load_published
    from unnoise.restore.photo import fast_precision

    path = _data("weights", weights)
    assert path is not None
    net, fast = load_published(path), fast_precision() == "bfloat16"

    @torch.inference_mode()
    def denoise(y: Picture) -> Picture:
        batch = torch.from_numpy(y if y.ndim == 3 else y[..., None]).permute(2, 0, 1)[None]
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            x_hat = net(batch, SIGMA)[0].float().permute(1, 2, 0).numpy()
        return np.asarray(x_hat.reshape(y.shape))

    return _work(denoise, quick, gray)


PEERS: dict[str, tuple[str, str | None]] = {
    "skimage nlm": ("skimage_nlm", None),
    "skimage wavelet": ("skimage_wavelet", None),
    "skimage tv": ("skimage_tv", None),
    "skimage bilateral": ("skimage_bilateral", None),
    "OpenCV bilateral": ("opencv_bilateral", None),
    "OpenCV nlm": ("opencv_nlm", None),
    "BM3D": ("bm3d_", None),
    "FFDNet": ("network", "ffdnet_color.npz"),
}
"""Name of a contender to the function here that prepares it, and its weights."""

GRAY_PEERS: dict[str, tuple[str, str | None]] = {
    **{name: peer for name, peer in PEERS.items() if peer[1] is None},
    "DnCNN": ("network", "dncnn_s25_gray.npz"),
    "FFDNet": ("network", "ffdnet_gray.npz"),
    "BF-CNN": ("network", "bfcnn_gray_0-100.npz"),
}
"""The same in gray."""
