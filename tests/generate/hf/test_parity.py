"""Our samplers against the schedulers of diffusers, same network and noise: equal to 5e-6 of the largest value."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EDMDPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    HeunDiscreteScheduler,
    UniPCMultistepScheduler,
)
from torch import nn

from unnoise.denoiser import GaussianMixture, as_denoiser
from unnoise.generate import courses
from unnoise.generate.hf import grid, process
from unnoise.generate.samplers import SAMPLERS, heun
from unnoise.noise.grids import karras
from unnoise.noise.seeds import generator

TOLERANCE = 5e-6
SHAPE = (4, 1, 2, 2)


@pytest.fixture(scope="module")
def target():
    g = generator(0)
    means = torch.randn(5, 4, generator=g, dtype=torch.float64)
    return GaussianMixture([0.1, 0.3, 0.2, 0.2, 0.2], means, [0.2, 0.4, 0.3, 0.3, 0.5])


class Exact(nn.Module):
    """The network that a perfect training would give for a scheduler: the exact denoiser in its terms."""

    def __init__(self, target, scheduler, variance=False):
        super().__init__()
        self.target, self.process, self.variance = target, process(scheduler), variance

    def forward(self, x_t, t):
        p = self.process
        sigma = p.schedule.sigma(torch.as_tensor(t).double().reshape(-1).expand(len(x_t))).clamp(max=1e7)
        s = sigma[:, None, None, None]
        out = p.output(self.target(x_t.double() / p.scale(s), sigma), x_t, s).to(x_t.dtype)
        return torch.cat([out, torch.tanh(x_t)], 1) if self.variance else out


def theirs(scheduler, net, y, steps, seed=1):
    """diffusers' loop from y, the data with noise; its state lives in its own units."""
    scheduler.set_timesteps(steps)
    own = isinstance(scheduler, EulerDiscreteScheduler | EulerAncestralDiscreteScheduler | HeunDiscreteScheduler)
    own = own or scheduler.config.get("sigma_data") is not None
    first = grid(scheduler, steps)[0]
    x = y if own else (y.double() * process(scheduler).scale(first)).float()
    with_noise = scheduler.__class__.__name__ in ("DDPMScheduler", "EulerAncestralDiscreteScheduler")
    with_noise = with_noise or scheduler.config.get("algorithm_type") == "sde-dpmsolver++"
    arguments = {"generator": generator(seed)} if with_noise else {}
    for t in scheduler.timesteps:
        seen = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        x = scheduler.step(net(seen, t), t, x, **arguments).prev_sample
    return x


def ours(name, scheduler, net, y, steps, seed=1, **options):
    p = process(scheduler)
    d = as_denoiser(_Signed(net, p.sign), p.param, p.schedule, signed=False, clip=p.clip)
    if scheduler.config.get("use_karras_sigmas") and scheduler.config.get("algorithm_type"):
        d.schedule = replace(p.schedule, rounded=True)  # diffusers rounds the time here, which costs accuracy
    levels = grid(scheduler, steps)
    y = SAMPLERS[name](d, y, levels, randomness=generator(seed), **options)
    return y if p.param == "edm" else y * float(p.scale(levels[-1]))


class _Signed(nn.Module):
    def __init__(self, net, sign):
        super().__init__()
        self.net, self.sign = net, sign

    def forward(self, x, t):
        return self.sign * self.net(x, t)


@pytest.fixture(autouse=True)
def float32_noise(monkeypatch):
    """diffusers draws its noise in float32."""

    def drawn(x, source=None):
        return torch.randn(x.shape, generator=source, dtype=torch.float32).to(x.dtype)

    monkeypatch.setattr(courses, "normal_like", drawn)


def finite(scheduler):
    """With 2**-24 for the last alpha_bar, as most schedulers of diffusers have it, and not zero."""
    scheduler.alphas_cumprod[-1] = 2**-24
    return scheduler


DPM = {"algorithm_type": "dpmsolver++", "solver_order": 2, "final_sigmas_type": "zero"}
SDE = DPM | {"algorithm_type": "sde-dpmsolver++"}
LARGE = {"clip_sample": False, "variance_type": "fixed_large"}
BH1 = {"solver_type": "bh1", "final_sigmas_type": "sigma_min"}  # at an end of zero it is NaN in diffusers
CASES = {
    "DDIM leading": ("ddim", lambda: DDIMScheduler(clip_sample=False, timestep_spacing="leading"), {}),
    "DDIM trailing": ("ddim", lambda: DDIMScheduler(clip_sample=False, timestep_spacing="trailing"), {}),
    "DDIM of Stable Diffusion": (
        "ddim",
        lambda: DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        ),
        {},
    ),
    "DDIM v, zero SNR": (
        "ddim",
        lambda: finite(
            DDIMScheduler(
                clip_sample=False,
                prediction_type="v_prediction",
                rescale_betas_zero_snr=True,
                timestep_spacing="trailing",
            )
        ),
        {},
    ),
    "DDIM x0": ("ddim", lambda: DDIMScheduler(clip_sample=False, prediction_type="sample"), {}),
    "DDPM": ("ddpm", lambda: DDPMScheduler(clip_sample=False), {}),
    "DDPM clipped": ("ddpm", lambda: DDPMScheduler(clip_sample=True), {}),
    "DDPM large": ("ddpm", lambda: DDPMScheduler(**LARGE), {"variance": "large"}),
    "DDPM learned": (
        "ddpm",
        lambda: DDPMScheduler(clip_sample=False, variance_type="learned_range"),
        {"variance": "learned"},
    ),
    "Euler": ("euler", lambda: EulerDiscreteScheduler(timestep_spacing="linspace"), {}),
    "Euler Karras": ("euler", lambda: EulerDiscreteScheduler(use_karras_sigmas=True), {}),
    "Euler ancestral": ("euler_ancestral", lambda: EulerAncestralDiscreteScheduler(), {}),
    "Heun": ("heun", lambda: HeunDiscreteScheduler(), {}),
    "DPM++ 2M": ("dpmpp_2m", lambda: DPMSolverMultistepScheduler(**DPM), {}),
    "DPM++ 2M Karras": ("dpmpp_2m", lambda: DPMSolverMultistepScheduler(**DPM, use_karras_sigmas=True), {}),
    "DPM++ 2M trailing v": (
        "dpmpp_2m",
        lambda: DPMSolverMultistepScheduler(**DPM, timestep_spacing="trailing", prediction_type="v_prediction"),
        {},
    ),
    "SDE-DPM++ 2M": ("dpmpp_2m_sde", lambda: DPMSolverMultistepScheduler(**SDE), {}),
    "UniPC 2": ("unipc", lambda: UniPCMultistepScheduler(solver_order=2), {"order": 2}),
    "UniPC 3": ("unipc", lambda: UniPCMultistepScheduler(solver_order=3), {"order": 3}),
    "UniPC bh1": ("unipc", lambda: UniPCMultistepScheduler(**BH1), {"variant": "bh1"}),
    "flow": ("euler", lambda: FlowMatchEulerDiscreteScheduler(), {}),
    "flow, shifted": ("euler", lambda: FlowMatchEulerDiscreteScheduler(shift=3.0), {}),
    "EDM": ("euler", lambda: EDMEulerScheduler(), {}),
    "EDM v": ("euler", lambda: EDMEulerScheduler(prediction_type="v_prediction"), {}),
    "EDM DPM++ 2M": ("dpmpp_2m", lambda: EDMDPMSolverMultistepScheduler(), {}),
}


@pytest.mark.parametrize("steps", [10, 20])
@pytest.mark.parametrize("case", CASES)
def test_equal_to_diffusers(target, case, steps):
    name, make, options = CASES[case]
    scheduler = make()
    net = Exact(target, scheduler, variance=options.get("variance") == "learned")
    levels = grid(scheduler, steps)
    y = (levels[0] * torch.randn(SHAPE, generator=generator(3), dtype=torch.float64)).float()
    if process(scheduler).param == "flow":
        y = (1e7 * torch.randn(SHAPE, generator=generator(3), dtype=torch.float64)).float()  # pure noise
    found, expected = ours(name, scheduler, net, y, steps, **options), theirs(make(), net, y, steps)
    assert 0.5 < expected.abs().max() < 5
    assert (found - expected).abs().max() < TOLERANCE * max(1.0, float(expected.abs().max()))


def test_heun_is_the_papers_algorithm_bit_for_bit(target):
    """Karras et al. 2022, algorithm 2, line by line, in float64 around a float32 network."""
    levels, churn, noise = karras(18).tolist(), 40.0, 1.003
    y = (80 * torch.randn(SHAPE, generator=generator(3))).float()

    def denoise(x, s):
        return target(x.float(), s).double()

    for churned in (False, True):
        g, x = generator(5), y.double()
        for t, t_next in pairwise(levels):
            gamma = min(churn / 18, math.sqrt(2) - 1) if churned and 0.05 <= t <= 50 else 0.0
            t_hat = t + gamma * t
            if gamma:
                z = torch.randn(SHAPE, generator=g).double()
                x = x + math.sqrt(t_hat**2 - t**2) * noise * z
            d = (x - denoise(x, t_hat)) / t_hat
            x_next = x + (t_next - t_hat) * d
            if t_next:
                d_next = (x_next - denoise(x_next, t_next)) / t_next
                x_next = x + (t_next - t_hat) * (0.5 * d + 0.5 * d_next)
            x = x_next
        options = {"churn": churn, "churn_low": 0.05, "churn_high": 50.0, "noise": noise} if churned else {}
        found = heun(target, y, levels, randomness=generator(5), **options)
        assert torch.equal(found, x.float())


@pytest.mark.parametrize(
    ("scheduler", "n", "expected"),
    [
        (DPMSolverMultistepScheduler(), 5, [157.407, 25.5285, 6.13521, 2.04109, 0.723591, 0]),
        (EulerDiscreteScheduler(), 5, [157.407, 17.2799, 3.43355, 0.956759, 0.0100013, 0]),
        (FlowMatchEulerDiscreteScheduler(shift=3.0), 5, [1, 0.900359, 0.751121, 0.502985, 0.00892857, 0]),
    ],
)
def test_grids_are_the_known_ones(scheduler, n, expected):
    levels = grid(scheduler, n)
    if process(scheduler).param == "flow":
        levels = levels / (1 + levels)
    torch.testing.assert_close(levels, torch.tensor(expected, dtype=torch.float64), rtol=1e-4, atol=1e-6)
