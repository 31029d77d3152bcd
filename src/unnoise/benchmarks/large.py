"""A 12-megapixel photograph from file to file with the shipped network, at several tile sizes."""

from __future__ import annotations

from pathlib import Path

from unnoise.benchmarks.harness import BenchReport, Contender, Progress, Work, compare

HEIGHT, WIDTH = 3000, 4000
TILES = (256, 384, 512, 768, 1024)


def run(
    folder: Path,
    *,
    repeats: int = 3,
    threads: int | None = None,
    quick: bool = False,
    progress: Progress = lambda text: None,
) -> BenchReport:
    """Compare tile sizes, write `large.json` into `folder`; `quick` takes 0.1 megapixels and two tiles."""
    tiles, scale = ((128, 512), 10) if quick else (TILES, 1)
    here = "unnoise.benchmarks.large"
    report = compare(
        "large",
        [
            Contender("decode and encode", f"{here}:copy", {"scale": scale}),
            *(
                Contender(f"tiles of {tile}", f"{here}:photo", {"tile": tile, "scale": scale}, ours=True)
                for tile in tiles
            ),
        ],
        reference="tiles of 512",
        unit="megapixel",
        repeats=repeats,
        threads=threads,
        notes=f"8-bit RGB JPEG of {WIDTH // scale} x {HEIGHT // scale} pixels to JPEG, method photo with a given level",
        progress=progress,
    )
    report.save(folder / "large.json")
    return report


def photo(tile: int, scale: int) -> Work:
    """`denoise_file` on the picture."""
    from unnoise.restore.door import denoise_file

    source = picture(scale)
    target = source.with_name("clean.jpg")
    return Work(
        lambda: denoise_file(source, target, "photo", sigma=10, tile=tile, overwrite=True),
        HEIGHT * WIDTH / scale**2 / 1e6,
    )


def copy(scale: int) -> Work:
    """What reading and writing the file alone takes."""
    from unnoise.restore.door import denoise_file

    source = picture(scale)
    target = source.with_name("copy.jpg")
    return Work(
        lambda: denoise_file(source, target, "photo", sigma=10, strength=0, overwrite=True),
        HEIGHT * WIDTH / scale**2 / 1e6,
    )


def picture(scale: int) -> Path:
    """A photograph of scikit-image repeated to the size, with noise of level 10, in a folder of its own."""
    import atexit
    import shutil
    import tempfile

    import numpy as np
    from PIL import Image
    from skimage import data

    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    height, width = HEIGHT // scale, WIDTH // scale
    x = data.astronaut()
    x = np.tile(x, (-(-height // x.shape[0]), -(-width // x.shape[1]), 1))[:height, :width]
    noise = np.random.default_rng(0).normal(0, 10, x.shape).astype(np.float32)
    path = folder / "noisy.jpg"
    Image.fromarray((x + noise).clip(0, 255).astype(np.uint8)).save(path, quality=95)
    return path
