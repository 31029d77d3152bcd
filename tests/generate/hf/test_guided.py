"""Adaptive Guidance in pipelines of diffusers: equal to theirs until it switches, and cheaper after."""

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, HeunDiscreteScheduler
from diffusers.guiders import ClassifierFreeGuidance

from unnoise.errors import InputError
from unnoise.generate.adaptive_guidance import Adaptive, fit_linear
from unnoise.generate.guidance import Full, Guided, Interval, Table, alternating, first
from unnoise.generate.hf import (
    AdaptiveGuidance,
    Scheduler,
    fit_linear_pipeline,
    from_diffusers,
    grid,
    process,
    wrap_denoiser,
)
from unnoise.generate.samplers import ddim
from unnoise.noise.seeds import generator

STEPS = 6


@pytest.fixture
def rows(stable_diffusion):
    """A pipeline and a function that runs it and returns latents and the rows that went through its network."""
    pipe, counted = stable_diffusion(), []
    hook = pipe.unet.down_blocks[0].register_forward_pre_hook(
        lambda module, arguments, named: counted.append(len(arguments[0] if arguments else named["hidden_states"])),
        with_kwargs=True,
    )

    def run(n=3, scale=4.0, **more):
        counted.clear()
        prompts = torch.randn(n, 7, 16, generator=generator(1))
        none = torch.randn(1, 7, 16, generator=generator(2)).expand(n, -1, -1)
        arguments = {
            "prompt_embeds": prompts,
            "negative_prompt_embeds": none,
            "guidance_scale": scale,
            "num_inference_steps": STEPS,
            "height": 8,
            "width": 8,
            "output_type": "latent",
            "generator": [generator(i) for i in range(n)],
        }
        return pipe(**arguments | more).images, sum(counted)

    yield pipe, run
    hook.remove()
    assert "forward" not in vars(pipe.unet)


def cosines(pipe, run):
    with wrap_denoiser(pipe, Full()) as guided:
        run()
        return guided.trace.gamma


def between(gamma):
    """A threshold that rounding cannot decide: midway between the two smallest cosines."""
    return float(gamma.sort().values[:2].mean())


def test_a_threshold_that_is_never_reached_changes_no_bit(rows):
    pipe, run = rows
    plain, cost = run()
    with wrap_denoiser(pipe, Adaptive(1.1)) as guided:
        adaptive, paid = run()
        assert torch.equal(adaptive, plain)
        assert paid == cost == 2 * 3 * STEPS == guided.rows
        assert guided.trace.nfe.tolist() == [2 * STEPS] * 3
        rescaled, _ = run(guidance_rescale=0.7)
    assert torch.equal(run(guidance_rescale=0.7)[0], rescaled)


def test_a_scale_of_one_is_full_speed(rows):
    pipe, run = rows
    plain, cost = run(scale=1.0)
    with wrap_denoiser(pipe) as guided:
        adaptive, paid = run(scale=1.0)
        assert torch.equal(adaptive, plain)
        assert paid == cost == 3 * STEPS == guided.rows


@pytest.mark.parametrize("kind", [None, DPMSolverMultistepScheduler, HeunDiscreteScheduler, Scheduler])
def test_each_picture_switches_alone_and_is_charged_for_what_was_run(rows, kind):
    pipe, run = rows
    if kind is not None:
        pipe.scheduler = kind.from_config(pipe.scheduler.config)
    plain, _ = run()
    gamma = cosines(pipe, run)
    half = sorted(gamma[1:-1].flatten().tolist())[len(gamma)]  # some cross it, at different steps
    with wrap_denoiser(pipe, Adaptive(half)) as guided:
        first, paid = run()
        trace = guided.trace
        calls = len(trace.gamma)
        k = torch.where(trace.switched_at < 0, calls, trace.switched_at)
        assert 1 <= k.min() < calls
        assert torch.equal(trace.nfe, calls + k)
        assert paid == guided.rows == int(trace.nfe.sum())
        again, _ = run()  # guided afresh
        assert torch.equal(first, again)
        assert not torch.equal(first, plain)
        one, _ = run(1, generator=[generator(0)])
        torch.testing.assert_close(one, first[:1], rtol=1e-3, atol=1e-3)
    assert torch.equal(run()[0], plain)  # the network is the pipeline's again


def test_one_guided_step_then_conditional(rows):
    pipe, run = rows
    with wrap_denoiser(pipe, Adaptive(-1.0)) as guided:
        _, paid = run()
        assert paid == 3 * (STEPS + 1)
        assert guided.trace.switched_at.tolist() == [1] * 3
    with wrap_denoiser(pipe, Adaptive(-1.0, switch="now")):
        now, _ = run()
    conditional, _ = run(scale=1.0)
    torch.testing.assert_close(now, conditional, rtol=1e-4, atol=1e-4)


def test_the_interval_guides_inside_only(rows):
    pipe, run = rows
    levels = grid(pipe.scheduler, STEPS)
    low, high = float(levels[4]) * 1.01, float(levels[1]) * 0.99
    with wrap_denoiser(pipe, Interval(low, high)) as guided:
        _, paid = run()
        assert paid == 3 * (STEPS + 2) == guided.rows


def test_a_table_guides_where_it_says(rows):
    pipe, run = rows
    plain, _ = run()
    with wrap_denoiser(pipe, first(STEPS, STEPS)):
        assert torch.equal(run()[0], plain)
    with wrap_denoiser(pipe, first(2, STEPS)) as guided:
        _, paid = run()
        assert paid == 3 * (STEPS + 2) == guided.rows
    with wrap_denoiser(pipe, first(1, STEPS - 1)), pytest.raises(InputError, match="makes more"):
        run()


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_linear_guidance_in_a_pipeline_is_that_of_the_denoiser(rows, prediction):
    """Fitted through the pipeline and through the library: as good; applied in both: the same latents."""
    pipe, run = rows
    pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config, prediction_type=prediction)
    linear = fit_linear_pipeline(pipe, run)
    assert linear.scale == 4.0
    table = alternating(STEPS, None, "linear", linear)
    with wrap_denoiser(pipe, table) as guided:
        latents, paid = run()
        assert paid == 3 * (STEPS + STEPS // 2) == guided.rows
    p, levels = process(pipe.scheduler), grid(pipe.scheduler, STEPS)
    d = from_diffusers(pipe.unet, pipe.scheduler, null=torch.randn(1, 7, 16, generator=generator(2)))
    noise = torch.cat([torch.randn(1, 4, 8, 8, generator=generator(i)) for i in range(3)])
    start = (noise.double() / p.scale(levels[0])).float()
    prompts = torch.randn(3, 7, 16, generator=generator(1))
    ours = fit_linear(d, start, levels, 4.0, sampler="ddim", embedding=prompts)
    assert ours.residuals == pytest.approx(linear.residuals, rel=0.02, abs=1e-6)
    with torch.inference_mode():
        y = ddim(Guided(d, 4.0, table), start, levels, embedding=prompts)
    y = y * float(p.scale(levels[-1]))
    assert (y - latents).abs().max() < 1e-5 * latents.abs().max()


def test_linear_coefficients_belong_to_a_pipeline(rows):
    pipe, run = rows
    linear = fit_linear_pipeline(pipe, run)
    table = alternating(STEPS, None, "linear", linear)
    with wrap_denoiser(pipe, table), pytest.raises(InputError, match="scale 4"):
        run(scale=5.0)
    with wrap_denoiser(pipe, table), pytest.raises(InputError, match="noise levels"):
        run(num_inference_steps=STEPS - 1)
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    with pytest.raises(InputError, match="belong to the sampler DDIMScheduler"):
        wrap_denoiser(pipe, table)
    with pytest.raises(InputError, match="whole guided runs"):
        fit_linear_pipeline(pipe, lambda: run(scale=1.0))


def test_the_wrapped_pipeline_is_the_guided_denoiser(rows):
    """The same checkpoint through both doors: cosines, switches and latents agree."""
    pipe, run = rows
    prompts = torch.randn(3, 7, 16, generator=generator(1))
    d = from_diffusers(pipe.unet, pipe.scheduler, null=torch.randn(1, 7, 16, generator=generator(2)))
    gamma_bar = between(cosines(pipe, run)[2])
    with wrap_denoiser(pipe, Adaptive(gamma_bar)) as guided:
        latents, _ = run()
        trace = guided.trace
    levels, p = grid(pipe.scheduler, STEPS), process(pipe.scheduler)
    noise = torch.cat([torch.randn(1, 4, 8, 8, generator=generator(i)) for i in range(3)])
    trajectory = Guided(d, 4.0, Adaptive(gamma_bar)).trajectory()
    with torch.inference_mode():
        y = ddim(trajectory, (noise.double() / p.scale(levels[0])).float(), levels, embedding=prompts)
    assert torch.equal(trajectory.trace().switched_at, trace.switched_at)
    assert torch.equal(trajectory.trace().nfe, trace.nfe)
    torch.testing.assert_close(y * float(p.scale(levels[-1])), latents, rtol=1e-3, atol=1e-3)


def guide(guider, net, scheduler, x, prompts, none):
    """The loop of diffusers' modular pipelines."""
    scheduler.set_timesteps(STEPS)
    rows = 0
    for i, t in enumerate(scheduler.timesteps):
        guider.set_state(step=i, num_inference_steps=STEPS, timestep=t)
        states = guider.prepare_inputs({"encoder_hidden_states": (prompts, none)})
        for state in states:
            guider.prepare_models(net)
            state.noise_pred = net(x, t, encoder_hidden_states=state.encoder_hidden_states, return_dict=False)[0]
            guider.cleanup_models(net)
            rows += len(x)
        x = scheduler.step(guider(states)[0], t, x, return_dict=False)[0]
    return x, rows


@torch.inference_mode()
def test_the_guider(stable_diffusion, noise):
    pipe = stable_diffusion()
    inputs = (pipe.unet, pipe.scheduler, noise(3, 4, 8, 8), noise(3, 7, 16, seed=1), noise(3, 7, 16, seed=2))
    plain, cost = guide(ClassifierFreeGuidance(guidance_scale=4.0), *inputs)
    never = AdaptiveGuidance(guidance_scale=4.0, gamma_bar=1.1, scheduler=pipe.scheduler)
    same, paid = guide(never, *inputs)
    assert torch.equal(plain, same)
    assert paid == cost == 3 * never.nfe
    gamma = torch.stack(never.gamma)
    assert gamma.shape == (STEPS, 3)
    conditional, cost = guide(AdaptiveGuidance(guidance_scale=1.0, scheduler=pipe.scheduler), *inputs)
    assert cost == 3 * STEPS

    once = AdaptiveGuidance(guidance_scale=4.0, gamma_bar=-1.0, scheduler=pipe.scheduler)
    first, paid = guide(once, *inputs)
    assert paid == 3 * (STEPS + 1) == 3 * once.nfe
    assert once.num_conditions == 1
    again, _ = guide(once, *inputs)
    assert torch.equal(first, again)
    now = AdaptiveGuidance(guidance_scale=4.0, gamma_bar=-1.0, switch="now", scheduler=pipe.scheduler)
    torch.testing.assert_close(guide(now, *inputs)[0], conditional, rtol=1e-4, atol=1e-4)

    # the same cosines and the same pictures as the policy of the wrapped pipeline, which lets each go alone
    bar = between(gamma[2])
    mixed = AdaptiveGuidance(guidance_scale=4.0, gamma_bar=bar, scheduler=pipe.scheduler)
    x, _ = guide(mixed, *inputs)
    d = from_diffusers(pipe.unet, pipe.scheduler)
    run = Guided(d, 4.0, Adaptive(bar), negative={"embedding": inputs[4]}).trajectory()
    levels, p = grid(pipe.scheduler, STEPS), process(pipe.scheduler)
    y = ddim(run, (inputs[2].double() / p.scale(levels[0])).float(), levels, embedding=inputs[3])
    torch.testing.assert_close(y * float(p.scale(levels[-1])), x, rtol=1e-3, atol=1e-3)
    assert mixed.new(gamma_bar=0.5).policy.gamma_bar == 0.5


def test_the_guider_is_saved_and_opened(tmp_path, stable_diffusion):
    guider = AdaptiveGuidance(gamma_bar=0.9, scheduler=stable_diffusion().scheduler)
    guider.save_pretrained(tmp_path)
    again = AdaptiveGuidance.from_pretrained(tmp_path)
    assert again.policy == guider.policy
    assert again.process.param == "eps"


def test_what_cannot_be_guided_is_said(rows):
    pipe, _ = rows
    with pytest.raises(InputError, match="combines both predictions itself"):
        wrap_denoiser(pipe, Table((6.0,)))
    with pytest.raises(InputError, match="is no pipeline with classifier-free guidance"):
        wrap_denoiser(pipe.unet)
    with pytest.raises(InputError, match="pass scheduler="):
        AdaptiveGuidance()
    with wrap_denoiser(pipe) as guided, pytest.raises(InputError, match="has not been run"):
        _ = guided.trace
