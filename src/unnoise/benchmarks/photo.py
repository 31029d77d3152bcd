"""Colour photographs with Gaussian noise of level 25: our methods beside scikit-image, OpenCV and BM3D.

Everybody is told the noise level and gets the same noisy float32 pictures. Peers run with the parameters that gave
them the best PSNR on small crops of scikit-image's photographs, not with their defaults.
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
    """Compare all, write `photo.json` and `photo.webp` into `folder`; `quick` takes two small crops."""
    from unnoise.benchmarks.figure import quality_time
    from unnoise.restore import METHODS

    methods = [m.name for m in METHODS.values() if "photo" in m.kinds and m.needs_sigma]
    here, options = "unnoise.benchmarks.photo", {"quick": quick}
    report = compare(
        "photo",
        [
            *(Contender(f"unnoise {m}", f"{here}:ours", {"method": m, **options}, ours=True) for m in methods),
            *(Contender(name, f"{here}:{function}", options) for name, function in PEERS.items()),
        ],
        reference="skimage nlm",
        unit="megapixel",
        repeats=repeats,
        threads=threads,
        notes=f"{_source(quick)}, noise of level 25, not clipped; mean PSNR and SSIM of clipped results",
        progress=progress,
    )
    report.save(folder / "photo.json")
    quality_time(report, "psnr", "PSNR in dB, noise of level 25", folder / "photo.webp")
    return report


def pictures(quick: bool = False) -> list[Picture]:
    """Clean pictures in [0, 1]: four of CBSD68 under UNNOISE_DATA, else parts of four of scikit-image's."""
    import numpy as np
    from PIL import Image
    from skimage import data

    if (folder := _cbsd68()) is not None and not quick:
        files = sorted(folder.iterdir())[::17]
        found = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    else:
        edge = 48 if quick else 256
        whole = [data.astronaut(), data.coffee()] + ([] if quick else [data.chelsea(), data.rocket()])
        found = [p[y : y + edge, x : x + edge] for p in whole for y, x in [((p.shape[0] - edge) // 2, 100)]]
    return [np.asarray(p, np.float32) / np.float32(255) for p in found]


def _cbsd68() -> Path | None:
    root = os.environ.get("UNNOISE_DATA")
    folder = Path(root) / "clean_test" / "CBSD68" if root else None
    return folder if folder is not None and folder.is_dir() else None


def _source(quick: bool) -> str:
    if quick:
        return "two small crops"
    return "four pictures of CBSD68" if _cbsd68() else "four photographs of scikit-image, 256 x 256"


def _work(denoise: Callable[[Picture], Any], quick: bool) -> Work:
    """The same pictures and the same noise, one picture after the other, for everybody."""
    import numpy as np

    from unnoise.metrics import psnr, ssim

    clean = pictures(quick)
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

    return Work(lambda: [denoise(y) for y in noisy], sum(x[..., 0].size for x in clean) / 1e6, quality)


def ours(method: str, quick: bool) -> Work:
    """What a user of the library gets, through the door."""
    from unnoise.restore.door import denoise

    return _work(lambda y: denoise(y, method=method, sigma=SIGMA), quick)


def skimage_nlm(quick: bool) -> Work:
    """`denoise_nl_means`, fast mode."""
    from skimage.restoration import denoise_nl_means as nlm

    return _work(lambda y: nlm(y, 5, 6, 0.6 * SIGMA, sigma=SIGMA, channel_axis=-1), quick)


def skimage_wavelet(quick: bool) -> Work:
    """`denoise_wavelet`, BayesShrink in YCbCr."""
    import numpy as np
    from skimage.restoration import denoise_wavelet as wavelet

    options = {"wavelet": "db2", "sigma": SIGMA, "convert2ycbcr": True, "rescale_sigma": True, "channel_axis": -1}
    return _work(lambda y: wavelet(np.clip(y, 0, 1), **options), quick)


def skimage_tv(quick: bool) -> Work:
    """`denoise_tv_chambolle`."""
    from skimage.restoration import denoise_tv_chambolle as tv

    return _work(lambda y: tv(y, 0.1, channel_axis=-1), quick)


def skimage_bilateral(quick: bool) -> Work:
    """`denoise_bilateral`."""
    from skimage.restoration import denoise_bilateral as bilateral

    return _work(lambda y: bilateral(y, sigma_color=0.05, sigma_spatial=2, mode="edge", channel_axis=-1), quick)


def opencv_bilateral(quick: bool) -> Work:
    """`bilateralFilter` on floats."""
    import cv2

    return _work(lambda y: cv2.bilateralFilter(y, -1, 0.4, 3), quick)


def opencv_nlm(quick: bool) -> Work:
    """`fastNlMeansDenoisingColored`, which takes 8 bits only, so that the noise is clipped and rounded for it."""
    import cv2
    import numpy as np

    def denoise(y: Picture) -> Picture:
        levels = cv2.cvtColor(np.rint(np.clip(y, 0, 1) * 255).astype(np.uint8), cv2.COLOR_RGB2BGR)
        cleaned = cv2.fastNlMeansDenoisingColored(levels, None, 20, 16, 3, 21)
        return np.asarray(cv2.cvtColor(cleaned, cv2.COLOR_BGR2RGB) / np.float32(255))

    return _work(denoise, quick)


def bm3d(quick: bool) -> Work:
    """The authors' BM3D, a binary package whose licence is not commercial."""
    try:
        from bm3d import bm3d_rgb
    except ImportError as e:
        from unnoise.errors import MissingExtra

        raise MissingExtra("bench") from e
    return _work(lambda y: bm3d_rgb(y, SIGMA), quick)


PEERS = {
    "skimage nlm": "skimage_nlm",
    "skimage wavelet": "skimage_wavelet",
    "skimage tv": "skimage_tv",
    "skimage bilateral": "skimage_bilateral",
    "OpenCV bilateral": "opencv_bilateral",
    "OpenCV nlm": "opencv_nlm",
    "BM3D": "bm3d",
}
"""Name of a contender to the function here that prepares it."""
