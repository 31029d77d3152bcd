"""The periodised wavelet transform, there and back, on a 200-band cube: ours beside PyWavelets."""

from __future__ import annotations

from pathlib import Path

from unnoise.benchmarks.harness import BenchReport, Contender, Progress, Work, compare

WAVELET, LEVELS = "db2", 3


def run(
    folder: Path,
    *,
    repeats: int = 5,
    threads: int | None = None,
    quick: bool = False,
    progress: Progress = lambda text: None,
) -> BenchReport:
    """Compare the two and write `wavelets.json` into `folder`; `quick` takes a cube of 8 bands."""
    bands, edge = (8, 64) if quick else (200, 256)
    here = "unnoise.benchmarks.wavelets"
    report = compare(
        "wavelets",
        [
            Contender("unnoise", f"{here}:ours", {"bands": bands, "edge": edge}, ours=True),
            Contender("pywt", f"{here}:pywavelets", {"bands": bands, "edge": edge}),
        ],
        reference="pywt",
        unit="cube",
        repeats=repeats,
        threads=threads,
        notes=f"{bands} bands of {edge} x {edge}, float32, {WAVELET}, {LEVELS} levels, forward and inverse; "
        "round_trip is the largest difference between the cube and its reconstruction",
        progress=progress,
    )
    report.save(folder / "wavelets.json")
    return report


def ours(bands: int, edge: int) -> Work:
    """The grouped strided convolution of `noise.wavelets`."""
    import torch

    from unnoise.noise.wavelets import dwt2, idwt2

    x = torch.rand(1, bands, edge, edge, generator=torch.Generator().manual_seed(0))

    @torch.inference_mode()
    def there_and_back() -> torch.Tensor:
        return idwt2(dwt2(x, WAVELET, LEVELS), WAVELET, x.shape)

    return Work(there_and_back, score=lambda back: {"round_trip": float((back - x).abs().max())})


def pywavelets(bands: int, edge: int) -> Work:
    """`wavedec2` and `waverec2` over the last two axes, the whole cube in one call."""
    import numpy as np
    import pywt

    x = np.random.default_rng(0).random((bands, edge, edge), dtype=np.float32)

    def there_and_back() -> np.ndarray:
        return pywt.waverec2(pywt.wavedec2(x, WAVELET, "periodization", LEVELS), WAVELET, "periodization")

    return Work(there_and_back, score=lambda back: {"round_trip": float(np.abs(back - x).max())})
