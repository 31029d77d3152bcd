"""A 12-megapixel photograph from file to file with a C-BSN of the laptop's size, at several tile sizes.

Its statistics are those of the whole picture and are taken once, so the network holds back the tiles that it works in.
"""

from __future__ import annotations

from pathlib import Path

from unnoise.benchmarks.harness import BenchReport, Contender, Progress, Work, compare
from unnoise.benchmarks.large import HEIGHT, WIDTH, picture

TILES = (256, 512)
STEPS = 20  # enough for weights that were learnt; neither time nor memory depends on how well


def run(
    folder: Path,
    *,
    repeats: int = 3,
    threads: int | None = None,
    quick: bool = False,
    progress: Progress = lambda text: None,
) -> BenchReport:
    """Compare tile sizes, write `large_cbsn.json` into `folder`; `quick` takes 0.1 megapixels and a small network."""
    tiles, scale = ((128, 512), 10) if quick else (TILES, 1)
    width, modules = (8, 1) if quick else (32, 3)
    report = compare(
        "large_cbsn",
        [
            Contender("decode and encode", "unnoise.benchmarks.large:copy", {"scale": scale}),
            *(
                Contender(
                    f"tiles of {tile}",
                    "unnoise.benchmarks.large_cbsn:cbsn",
                    {"tile": tile, "scale": scale, "width": width, "modules": modules},
                    ours=True,
                )
                for tile in tiles
            ),
        ],
        reference="tiles of 512",
        unit="megapixel",
        repeats=repeats,
        threads=threads,
        notes=f"8-bit RGB JPEG of {WIDTH // scale} x {HEIGHT // scale} pixels to JPEG, method cbsn with {width} "
        f"features and {modules} modules a branch, which learnt before",
        progress=progress,
    )
    report.save(folder / "large_cbsn.json")
    return report


def cbsn(tile: int, scale: int, width: int, modules: int) -> Work:
    """`denoise_file` with a network that learnt from a part of the picture."""
    import numpy as np
    import torch

    from unnoise.data.photo import read_photo
    from unnoise.restore.cbsn import CBSN
    from unnoise.restore.cbsn_training import adapt
    from unnoise.restore.door import denoise_file

    source = picture(scale)
    target = source.with_name("clean.jpg")
    part = np.ascontiguousarray(read_photo(source).pixels[:256, :256])
    noisy = torch.from_numpy(part).permute(2, 0, 1) / 255
    denoiser = adapt([noisy], steps=STEPS, width=width, n_modules=modules, crop=60)["weights"]
    assert isinstance(denoiser, CBSN)
    denoiser.tile = tile
    return Work(
        lambda: denoise_file(source, target, "cbsn", weights=denoiser, overwrite=True),
        HEIGHT * WIDTH / scale**2 / 1e6,
    )
