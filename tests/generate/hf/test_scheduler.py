"""Our samplers behind the interface of diffusers' schedulers give what the samplers give."""

import pytest
import torch
from diffusers import DDIMScheduler

from unnoise.denoiser import GaussianMixture
from unnoise.errors import InputError
from unnoise.generate import courses
from unnoise.generate.hf import Scheduler, to_scheduler
from unnoise.generate.samplers import SAMPLERS
from unnoise.noise.seeds import generator

TARGET = GaussianMixture([0.5, 0.5], [[-1.0] * 4, [1.0] * 4], 0.2)


def loop(scheduler, x, seed=0):
    net, g = to_scheduler(TARGET, scheduler), generator(seed)
    for t in scheduler.timesteps:
        x = scheduler.step(net(scheduler.scale_model_input(x, t), t).sample, t, x, generator=g).prev_sample
    return x


@pytest.mark.parametrize("process", ["vp", "flow", "edm"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_run_is_the_samplers_run(name, process):
    scheduler = Scheduler(name, process=process)
    scheduler.set_timesteps(9)
    x = scheduler.init_noise_sigma * torch.randn(3, 1, 2, 2, generator=generator(1), dtype=torch.float64)
    levels = scheduler._levels
    y = x if process == "edm" else x / scheduler._process.scale(levels[0])
    expected = SAMPLERS[name](TARGET, y, levels, randomness=generator(0))
    torch.testing.assert_close(loop(scheduler, x), expected, rtol=1e-6, atol=1e-6)
    assert len(scheduler.timesteps) == (17 if name == "heun" else 9)
    scheduler.set_timesteps(9)  # the state of a run is gone
    torch.testing.assert_close(loop(scheduler, x), expected, rtol=1e-6, atol=1e-6)


def test_options_arrive():
    scheduler = Scheduler("ddim", {"eta": 0.5}, process="edm")
    scheduler.set_timesteps(6)
    y = 80 * torch.randn(3, 1, 2, 2, generator=generator(1), dtype=torch.float64)
    expected = SAMPLERS["ddim"](TARGET, y, scheduler._levels, randomness=generator(0), eta=0.5)
    torch.testing.assert_close(loop(scheduler, y), expected, rtol=1e-6, atol=1e-6)
    with pytest.raises(InputError, match="churn"):
        Scheduler("heun", {"churn": 10.0})


def test_a_sample_changed_on_the_way_counts():
    """As inpainting pipelines do it: after each step the known part is put back."""
    scheduler = Scheduler("ddim")
    scheduler.set_timesteps(9)
    net = to_scheduler(TARGET, scheduler)
    x = torch.randn(1, 1, 2, 2, generator=generator(1), dtype=torch.float64)
    for t in scheduler.timesteps:
        x = scheduler.step(net(x, t).sample, t, x)[0] * 0 + 0.7
    torch.testing.assert_close(x, torch.full_like(x, 0.7))
    scheduler.set_timesteps(1)
    out = net(x, scheduler.timesteps[0]).sample
    a = scheduler.step(out, scheduler.timesteps[0], x).prev_sample
    scheduler.set_timesteps(2)
    first = scheduler.step(out, scheduler.timesteps[0], x).prev_sample
    t, moved = scheduler.timesteps[1], first + 0.5
    b = scheduler.step(net(moved, t).sample, t, moved).prev_sample
    s = scheduler._asked[1]
    torch.testing.assert_close(b, TARGET(moved / scheduler._process.scale(s), s), rtol=1e-6, atol=1e-6)
    assert a.shape == b.shape


def test_noise_is_added_and_a_run_begun_in_the_middle():
    scheduler = Scheduler.from_config(DDIMScheduler().config, sampler="dpmpp_2m", timestep_spacing="leading")
    scheduler.set_timesteps(10)
    x0, z = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    t = scheduler.timesteps[4:5]
    theirs = DDIMScheduler().add_noise(x0 + 0.3, z, t)
    torch.testing.assert_close(scheduler.add_noise(x0 + 0.3, z, t), theirs, rtol=1e-5, atol=1e-5)
    scheduler.set_begin_index(4)
    net, x = to_scheduler(TARGET, scheduler), theirs
    for t in scheduler.timesteps[4:]:
        x = scheduler.step(net(x, t).sample, t, x).prev_sample
    y = theirs.double() / scheduler._process.scale(scheduler._levels[4])
    expected = SAMPLERS["dpmpp_2m"](TARGET, y, scheduler._levels[4:]).float()
    torch.testing.assert_close(x, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["dpmpp_2m", "unipc", "euler_ancestral", "heun"])
def test_stable_diffusion_takes_it(stable_diffusion, noise, name):
    pipe = stable_diffusion()
    pipe.scheduler = Scheduler.from_config(pipe.scheduler.config, sampler=name)
    arguments = {
        "prompt_embeds": noise(1, 7, 16),
        "negative_prompt_embeds": noise(1, 7, 16, seed=1),
        "num_inference_steps": 3,
        "height": 8,
        "width": 8,
        "output_type": "latent",
    }
    first = pipe(**arguments, generator=generator(0)).images
    again = pipe(**arguments, generator=generator(0)).images
    assert bool(first.isfinite().all())
    assert torch.equal(first, again)


def test_it_is_saved_and_opened(tmp_path):
    Scheduler("unipc", {"order": 3}, use_karras_sigmas=True).save_pretrained(tmp_path)
    again = Scheduler.from_pretrained(tmp_path)
    assert again._course is courses.unipc
    assert again.config.options == {"order": 3}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"sampler": "dpmp_2m"}, "did you mean 'dpmpp_2m'"),
        ({"process": "vq"}, "did you mean 'vp'"),
        ({"prediction_type": "epsilom"}, "did you mean 'epsilon'"),
        ({"timestep_spacing": "traling"}, "did you mean 'trailing'"),
        ({"beta_schedule": "liner"}, "did you mean 'linear'"),
    ],
)
def test_unknown_names(arguments, says):
    with pytest.raises(InputError, match=says):
        Scheduler(**arguments)


def test_bad_grids_and_runs_that_are_over():
    scheduler = Scheduler()
    for steps in (0, 2000):
        with pytest.raises(InputError, match="between 1 and"):
            scheduler.set_timesteps(steps)
    with pytest.raises(InputError, match="fall"):
        scheduler.set_timesteps(sigmas=[1.0, 2.0])
    scheduler.set_timesteps(1)
    x = torch.zeros(1, 1, 2, 2)
    scheduler.step(x, scheduler.timesteps[0], x)
    with pytest.raises(InputError, match="has ended"):
        scheduler.step(x, scheduler.timesteps[0], x)
