"""The shipped photo network in float32, in bfloat16, with fused convolutions, and with these and 8-bit integers."""

from __future__ import annotations

from pathlib import Path

from unnoise.benchmarks.harness import BenchReport, Contender, Progress, Work, compare

WAYS = ("float32", "bfloat16", "fused", "8 bits")
LEVEL = 15 / 255


def run(
    folder: Path,
    *,
    repeats: int = 7,
    threads: int | None = None,
    quick: bool = False,
    progress: Progress = lambda text: None,
) -> BenchReport:
    """Compare them on a photograph and write `int8.json` into `folder`; `quick` takes a part of it."""
    side = 64 if quick else 512
    report = compare(
        "int8",
        [
            Contender(way, "unnoise.benchmarks.int8:network", {"way": way, "side": side}, ours=way == "8 bits")
            for way in WAYS
        ],
        reference="bfloat16",
        unit="megapixel",
        repeats=repeats,
        threads=threads,
        notes=f"{side} x {side} pixels of astronaut, noise of level 15, the network alone. Fused and 8 bits are on top "
        "of the fastest floating-point type of the processor; where it has no 8-bit sums (VNNI) the last two are alike",
        progress=progress,
    )
    report.save(folder / "int8.json")
    return report


def network(way: str, side: int) -> Work:
    """One of `WAYS`, told the level."""
    import torch

    from unnoise.data.samples import sample_photo
    from unnoise.metrics import psnr
    from unnoise.noise.seeds import generator
    from unnoise.restore.photo import Photo
    from unnoise.zoo import load

    denoiser = load("photo").requires_grad_(False)
    assert isinstance(denoiser, Photo)
    denoiser.precision = way if way in ("float32", "bfloat16") else "fast"
    if way == "fused":
        denoiser.ranges = None
    x = torch.from_numpy(sample_photo("astronaut")[:side, :side].copy()).permute(2, 0, 1)[None]
    y = x + LEVEL * torch.randn(x.shape, generator=generator(0))

    @torch.inference_mode()
    def work() -> torch.Tensor:
        return denoiser(y, LEVEL)

    return Work(work, side * side / 1e6, lambda x_hat: {"psnr": psnr(x_hat, x)})
