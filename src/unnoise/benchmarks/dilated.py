"""The dilated convolutions of C-BSN: oneDNN's own kernels beside dense ones on space-to-batch data.

A convolution of dilation d is a dense one on each of the d x d sub-images; a module's 1 x 1 convolutions do not care.
So a whole branch could stay split (no shuffles), or every convolution could split and join its data (with shuffles).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from unnoise.benchmarks.harness import BenchReport, Contender, Progress, Work, compare

if TYPE_CHECKING:
    from torch import Tensor

WIDTHS = (16, 32, 128)
DILATIONS = (2, 3)
WAYS = ("dilated", "split", "shuffled")


def run(
    folder: Path,
    *,
    repeats: int = 5,
    threads: int | None = None,
    quick: bool = False,
    progress: Progress = lambda text: None,
) -> BenchReport:
    """Compare them at the widths of the presets and write `dilated.json` into `folder`; `quick` takes a small one."""
    widths, side = ((8,), 48) if quick else (WIDTHS, 240)
    kinds = ("float32",) if quick else ("float32", "bfloat16")
    contenders = []
    for kind in kinds:
        for width in widths:
            label = f"{width} features, {kind}"
            for way in WAYS:
                contenders.append(
                    Contender(
                        f"{label}: {way}",
                        "unnoise.benchmarks.dilated:convolutions",
                        {"width": width, "side": side, "kind": kind, "way": way},
                        ours=way == "dilated",
                        against=f"{label}: dilated",
                    )
                )
    report = compare(
        "dilated",
        contenders,
        reference=contenders[0].name,
        unit="megapixel",
        repeats=repeats,
        threads=threads,
        notes=f"3 x 3 convolutions of dilation 2 and of 3 on {side} x {side} pixels, channels last. Split: "
        "dense ones on sub-images that stay apart; shuffled: with the splitting and joining. Times are relative to "
        "dilated at the same width and type, difference is the largest from it, relative to the largest value",
        progress=progress,
    )
    report.save(folder / "dilated.json")
    return report


def convolutions(width: int, side: int, kind: str, way: str) -> Work:
    """One convolution of each dilation, one of `WAYS`."""
    import torch
    import torch.nn.functional as F

    from unnoise.restore.cbsn import batch_to_space, space_to_batch

    torch.manual_seed(0)
    dtype = getattr(torch, kind)
    layout = torch.channels_last
    x = torch.randn(1, width, side, side).to(dtype).contiguous(memory_format=layout)
    weights = [torch.randn(width, width, 3, 3).to(dtype).contiguous(memory_format=layout) / width for _ in DILATIONS]
    split = {d: space_to_batch(x, d).contiguous(memory_format=layout) for d in DILATIONS}

    def dilated(w: Tensor, d: int) -> Tensor:
        return F.conv2d(x, w, padding=d, dilation=d)

    def kept_apart(w: Tensor, d: int) -> Tensor:
        return F.conv2d(split[d], w, padding=1)

    def shuffled(w: Tensor, d: int) -> Tensor:
        return batch_to_space(F.conv2d(space_to_batch(x, d), w, padding=1), d)

    ways: dict[str, Callable[[Tensor, int], Tensor]] = dict(zip(WAYS, (dilated, kept_apart, shuffled), strict=True))

    @torch.inference_mode()
    def work() -> list[Tensor]:
        return [ways[way](w, d) for w, d in zip(weights, DILATIONS, strict=True)]

    @torch.inference_mode()
    def judge(found: list[Tensor]) -> dict[str, float]:
        apart = 0.0
        for y, w, d in zip(found, weights, DILATIONS, strict=True):
            expected = dilated(w, d).float()
            joined = batch_to_space(y, d) if way == "split" else y
            apart = max(apart, float((joined.float() - expected).abs().max() / expected.abs().max()))
        return {"difference": apart}

    return Work(work, len(DILATIONS) * side * side / 1e6, judge)
