"""What a step costs beside the network: our samplers and the schedulers of diffusers, in one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unnoise.benchmarks.harness import BenchReport, Contender, Progress, Work, compare

STEPS, EDGE = 20, 32
PAIRS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {"clip_sample": False}),
    "euler": ("EulerDiscreteScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {"final_sigmas_type": "zero"}),
    "unipc": ("UniPCMultistepScheduler", {}),
}
BATCHES = {1: 40, 64: 3}  # and how often a timed run repeats the 20 steps


def run(
    folder: Path,
    *,
    repeats: int = 9,
    threads: int | None = None,
    quick: bool = False,
    progress: Progress = lambda text: None,
) -> BenchReport:
    """Compare each pair, write `samplers.json` and its figure into `folder`; `quick` takes one pair at batch 1."""
    here = "unnoise.benchmarks.samplers"
    contenders = []
    for batch in (1,) if quick else tuple(BATCHES):
        for name in ("ddim",) if quick else tuple(PAIRS):
            options = {"name": name, "batch": batch}
            peer = f"diffusers {PAIRS[name][0].removesuffix('Scheduler')}, {batch}"
            contenders += [
                Contender(f"unnoise {name}, {batch}", f"{here}:ours", options, ours=True, against=peer),
                Contender(peer, f"{here}:theirs", options, against=peer),
            ]
    report = compare(
        "samplers",
        contenders,
        reference=contenders[1].name,
        unit="step",
        repeats=repeats,
        threads=threads,
        notes=f"{STEPS} steps on 3 x {EDGE} x {EDGE} in float32, batches of 1 and 64, around a network that answers at "
        "once, so that all of the time is overhead; network_s is what a tiny U-Net of diffusers takes for the same "
        "batch, share the overhead relative to it, difference the largest from diffusers around that U-Net",
        progress=progress,
    )
    report.save(folder / "samplers.json")
    if not quick:
        figure(report, folder / "samplers.webp")
    return report


def ours(name: str, batch: int) -> Work:
    """Our sampler."""
    return _work(name, batch, True)


def theirs(name: str, batch: int) -> Work:
    """The scheduler of diffusers, in the loop that its documentation shows."""
    return _work(name, batch, False)


def _work(name: str, batch: int, our: bool) -> Work:
    import torch
    from torch import Tensor, nn

    from unnoise.denoiser import as_denoiser
    from unnoise.errors import MissingExtra
    from unnoise.generate.samplers import SAMPLERS

    try:
        import diffusers
    except ImportError:
        raise MissingExtra("diffusers") from None
    from unnoise.generate.hf import grid, process

    class Instant(nn.Module):
        """Answers at once."""

        def __init__(self, answer: Tensor) -> None:
            super().__init__()
            self.answer = answer

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            return self.answer

    class Plain(nn.Module):
        """The tensor of a network of diffusers, without its wrapping."""

        def __init__(self, net: Any) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor, t: Tensor) -> Tensor:
            out: Tensor = self.net(x, t, return_dict=False)[0]
            return out

    torch.manual_seed(0)
    unet = Plain(
        diffusers.UNet2DModel(
            sample_size=EDGE,
            layers_per_block=1,
            block_out_channels=(16, 32),
            norm_num_groups=8,
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
        ).eval()
    )
    x = torch.randn(batch, 3, EDGE, EDGE)
    cls, options = PAIRS[name]
    scheduler = getattr(diffusers, cls)(**options)
    found, levels = process(scheduler), grid(scheduler, STEPS)
    start = (x.double() / found.scale(levels[0])).float()

    def by_us(net: nn.Module) -> Tensor:
        return SAMPLERS[name](as_denoiser(net, found.param, found.schedule, signed=False), start, levels)

    def by_diffusers(net: nn.Module) -> Tensor:
        scheduler.set_timesteps(STEPS)
        z = start if cls.startswith("Euler") else x
        for t in scheduler.timesteps:
            z = scheduler.step(net(scheduler.scale_model_input(z, t), t), t, z, return_dict=False)[0]
        return z

    sampled, times = by_us if our else by_diffusers, BATCHES[batch]
    instant = Instant(x)
    denoiser = as_denoiser(instant, found.param, found.schedule, signed=False)

    @torch.inference_mode()
    def run() -> float:
        import time

        begun = time.perf_counter()
        for _ in range(times):
            if our:
                SAMPLERS[name](denoiser, start, levels)
            else:
                by_diffusers(instant)
        return (time.perf_counter() - begun) / (times * STEPS)

    @torch.inference_mode()
    def score(overhead: float) -> dict[str, float]:
        import statistics
        import time

        seconds = []
        for _ in range(9):
            begun = time.perf_counter()
            unet(x, torch.tensor(500))
            seconds.append(time.perf_counter() - begun)
        network = statistics.median(seconds)
        expected = by_diffusers(unet)
        difference = float((sampled(unet) - expected).abs().max() / expected.abs().max())
        return {"network_s": network, "share": overhead / network, "difference": difference}

    return Work(run, float(times * STEPS), score)


def figure(report: BenchReport, path: Path) -> Path:
    """Microseconds a step, pair by pair; WebP or PNG by extension."""
    from matplotlib.figure import Figure

    from unnoise.benchmarks.figure import OURS, PEER
    from unnoise.data.files import replacing

    drawing = Figure(figsize=(8, 4), dpi=120, layout="constrained")
    for axes, batch in zip(drawing.subplots(1, len(BATCHES)), BATCHES, strict=True):
        shown = [r for r in report.results if r.name.endswith(f", {batch}")]
        places = range(len(shown), 0, -1)
        axes.barh(places, [1e6 * r.seconds[0] for r in shown], color=[OURS if r.ours else PEER for r in shown])
        axes.set_yticks(places, [r.name.rpartition(",")[0] for r in shown])
        axes.set_xlabel("microseconds a step")
        axes.set_title(f"batch {batch}", loc="left")
        axes.spines[["top", "right"]].set_visible(False)
    with replacing(path, overwrite=True) as temporary:
        drawing.savefig(temporary, format=path.suffix.lstrip("."))
    return path
