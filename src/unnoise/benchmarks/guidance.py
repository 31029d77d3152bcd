"""What guidance policies save in evaluations and in time, and what is left of the fully guided pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from unnoise.benchmarks.harness import BenchReport, Contender, Progress, Work, compare

STEPS, SCALE = 20, 4.0
GRID = (0.002, 10.0)
POLICIES = ("CFG", "adaptive", "LinearAG", "interval", "conditional")
INTERVAL = (0.1, 10.0)  # below it, as above 0.991 of the cosine, guidance changes little
JUDGED = 64  # pictures that the quality is measured on, whatever the batch of the timing


def run(
    folder: Path,
    *,
    repeats: int = 7,
    threads: int | None = None,
    quick: bool = False,
    progress: Progress = lambda text: None,
) -> BenchReport:
    """Compare the policies on the shipped digits, write `guidance.json`; `quick` takes two of them at batch 2."""
    contenders = []
    for batch in (2,) if quick else (1, 64):
        for policy in POLICIES[:2] if quick else POLICIES:
            contenders.append(
                Contender(
                    f"{policy}, {batch}",
                    "unnoise.benchmarks.guidance:guided",
                    {"policy": policy, "batch": batch, "judged": 2 if quick else JUDGED},
                    ours=policy not in ("CFG", "conditional"),
                    against=f"CFG, {batch}",
                )
            )
    report = compare(
        "guidance",
        contenders,
        reference=contenders[0].name,
        unit="picture",
        repeats=repeats,
        threads=threads,
        notes=f"shipped digits, DPM-Solver++ 2M, {STEPS} steps, scale {SCALE:g}, batches of 1 and 64; nfe and ssim (to "
        f"the fully guided pictures) over {JUDGED} pictures, batch_nfe over those that were timed; saved is the share "
        "of the processor time that was saved over that of the evaluations, pair what two rows a sample cost the net "
        "over one, limit what is saved so if nothing but the network took time: 2 (pair - 1) / pair",
        progress=progress,
    )
    results = []
    for r in report.results:
        full = next(f for f in report.results if f.name == f"CFG, {r.name.rpartition(', ')[2]}")
        evaluations = 1 - r.scores["batch_nfe"] / full.scores["batch_nfe"]
        saved = {}
        if evaluations > 0:  # a call with two rows costs the network `pair`, and one with a single row 1
            pair = full.scores["pair"]
            saved = {"saved": (1 - r.cpu / full.cpu) / evaluations, "limit": 2 * (pair - 1) / pair}
        results.append(replace(r, scores={**r.scores, **saved}))
    report = replace(report, results=tuple(results))
    report.save(folder / "guidance.json")
    return report


def guided(policy: str, batch: int, judged: int) -> Work:
    """Pictures of all classes in turn under a policy."""
    import statistics
    import time

    import torch
    from torch import Tensor

    from unnoise.denoiser import Denoiser
    from unnoise.generate.adaptive_guidance import Adaptive, fit_linear
    from unnoise.generate.guidance import Guided, Interval, alternating
    from unnoise.generate.sample import Sampled, sample, start
    from unnoise.metrics import ssim
    from unnoise.noise.grids import karras
    from unnoise.zoo import load

    net = load("digits")
    shape, levels = (1, 28, 28), karras(STEPS, *GRID)

    def classes(n: int) -> Tensor:
        return torch.arange(n) % 10

    def under(name: str) -> Denoiser:
        if name == "LinearAG":
            fitting = start(net, shape, 100, GRID[1], seed=1)
            linear = fit_linear(net, fitting, levels, SCALE, label=classes(100))
            return Guided(net, SCALE, alternating(STEPS, STEPS // 2, "linear", linear))
        if name == "conditional":
            return Guided(net, 1.0)
        chosen = {"CFG": None, "adaptive": Adaptive(), "interval": Interval(*INTERVAL)}[name]
        return Guided(net, SCALE, chosen)

    denoiser = under(policy)

    def draw(d: Denoiser, n: int) -> Sampled:
        return sample(d, shape, n, sigmas=levels, label=classes(n))

    @torch.inference_mode()
    def pair() -> float:
        y = torch.rand(2 * batch, *shape)
        seconds: dict[int, list[float]] = {batch: [], 2 * batch: []}
        for _ in range(25):
            for rows, kept in seconds.items():
                begun = time.process_time()
                net(y[:rows], 1.0, label=classes(rows))
                kept.append(time.process_time() - begun)
        return statistics.median(seconds[2 * batch]) / statistics.median(seconds[batch])

    def score(drawn: Sampled) -> dict[str, float]:
        found, full = draw(denoiser, judged), draw(under("CFG"), judged)
        return {
            "nfe": float(found.nfe.double().mean()),
            "batch_nfe": float(drawn.nfe.double().mean()),
            "ssim": ssim(found.x, full.x.clamp(0, 1)),
            "pair": pair(),
        }

    return Work(lambda: draw(denoiser, batch), float(batch), score)
