"""What exact tiling costs in time and saves in memory, for a network with random weights on one large picture."""

from __future__ import annotations

from pathlib import Path

from unnoise.benchmarks.harness import BenchReport, Contender, Progress, Work, compare


def run(
    folder: Path,
    *,
    repeats: int = 5,
    threads: int | None = None,
    quick: bool = False,
    progress: Progress = lambda text: None,
) -> BenchReport:
    """Compare tile sizes with the picture at once, write `tiling.json` into `folder`; `quick` takes 256 pixels."""
    edge, tiles = (256, (None, 128)) if quick else (2048, (None, 1024, 512, 256))
    contenders = [
        Contender(
            "whole picture" if tile is None else f"tile {tile}",
            "unnoise.benchmarks.tiling:network",
            {"edge": edge, "tile": tile},
            ours=tile is not None,
        )
        for tile in tiles
    ]
    report = compare(
        "tiling",
        contenders,
        reference="whole picture",
        unit="megapixel",
        repeats=repeats,
        threads=threads,
        notes=f"RGB, {edge} x {edge}, float32, a two-stage U-Net of width 32 and 64; difference is the largest from "
        "the whole picture at once",
        progress=progress,
    )
    report.save(folder / "tiling.json")
    return report


def network(edge: int, tile: int | None) -> Work:
    """The same network and picture in every process; the difference is judged after the timing."""
    import torch
    from torch import Tensor

    from unnoise.denoiser import Card, Denoiser, Tiled
    from unnoise.nets.unet import UNet

    class Residual(Denoiser):
        def __init__(self) -> None:
            super().__init__()
            self.net = UNet(3, 3, widths=(32, 64), blocks=(1, 1))
            self.card = Card(reach=self.net.reach, stride=self.net.stride)

        def forward(self, y: Tensor, sigma: object = None) -> Tensor:
            return y - 0.1 * self.net(y)

    torch.manual_seed(0)
    whole = Residual().eval()
    y = torch.rand(1, 3, edge, edge, generator=torch.Generator().manual_seed(0))
    y = y.to(memory_format=torch.channels_last)
    denoiser = whole if tile is None else Tiled(whole, tile)

    def run() -> Tensor:
        with torch.inference_mode():
            return denoiser(y)

    def difference(x_hat: Tensor) -> dict[str, float]:
        with torch.inference_mode():
            return {"difference": float((x_hat - whole(y)).abs().max())}

    return Work(run, edge**2 / 1e6, difference)
