"""Checkpoints of diffusers as denoisers, ours as folders of diffusers, and what is said about files that do not fit."""

import json

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DiTTransformer2DModel,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    UNet2DModel,
)

from unnoise.denoiser import GaussianMixture
from unnoise.errors import InputError
from unnoise.generate.guidance import Guided
from unnoise.generate.hf import Network, from_diffusers, grid, process, save, to_scheduler
from unnoise.generate.sample import sample
from unnoise.generate.samplers import ddim
from unnoise.zoo import load


@pytest.mark.parametrize(
    ("scheduler", "of_output"),
    [
        (DDIMScheduler(clip_sample=False), lambda y, out, a, s: y - s * out),
        (DDIMScheduler(clip_sample=False, prediction_type="v_prediction"), lambda y, out, a, s: a**2 * y - a * s * out),
        (DDIMScheduler(clip_sample=False, prediction_type="sample"), lambda y, out, a, s: out),
    ],
)
def test_what_the_network_predicts_becomes_the_clean_estimate(plain, noise, scheduler, of_output):
    d = from_diffusers(plain, scheduler, signed=False)
    y, k = 3 * noise(2, 3, 8, 8), 400
    sigma = d.schedule.sigmas[k].item()
    a = (1 + sigma**2) ** -0.5
    with torch.inference_mode():
        out = plain(a * y, k).sample
        torch.testing.assert_close(d(y, sigma), of_output(y, out, a, sigma), rtol=1e-4, atol=1e-4)


def test_flows_and_edm_networks(plain, noise):
    y = noise(2, 3, 8, 8)
    with torch.inference_mode():
        d = from_diffusers(plain, FlowMatchEulerDiscreteScheduler(), signed=False)
        expected = 0.25 * y - 0.75 * plain(0.25 * y, torch.tensor(750.0)).sample
        torch.testing.assert_close(d(y, 3.0), expected, rtol=1e-4, atol=1e-4)
        scheduler = EDMEulerScheduler(prediction_type="v_prediction", sigma_data=1.0)
        d = from_diffusers(plain, scheduler, signed=False)
        expected = scheduler.precondition_outputs(
            y, plain(y / 10**0.5, torch.tensor(3.0).log() / 4).sample, torch.tensor(3.0)
        )
        torch.testing.assert_close(d(y, 3.0), expected, rtol=1e-4, atol=1e-4)


def test_pictures_live_on_0_to_1_with_half_the_noise(plain, noise):
    signed, own = from_diffusers(plain, DDIMScheduler()), from_diffusers(plain, DDIMScheduler(), signed=False)
    y = noise(1, 3, 8, 8)
    with torch.inference_mode():
        torch.testing.assert_close(2 * signed((y + 1) / 2, 0.25) - 1, own(y, 0.5), rtol=1e-4, atol=1e-4)
    assert signed.card.value_range == (0.0, 1.0)
    assert signed.card.sigma_range == pytest.approx((0.005, 78.7037), rel=1e-3)
    assert own(1e3 * y, 100.0).abs().max() <= 1  # DDIM clips, by its configuration
    drawn = sample(signed, (3, 8, 8), 2, steps=3)
    assert drawn.x.shape == (2, 3, 8, 8)


def test_classes_and_what_means_none(unet, noise):
    net = unet(num_class_embeds=5)
    y, label = noise(3, 3, 8, 8), torch.tensor([0, 1, 3])
    scheduler = DDPMScheduler(clip_sample=False)
    d = from_diffusers(net, scheduler, signed=False, null=4)
    with torch.inference_mode():
        sigma = d.schedule.sigmas[500].item()
        out = net((1 + sigma**2) ** -0.5 * y, 500, class_labels=label).sample
        torch.testing.assert_close(d(y, sigma, label=label), y - sigma * out, rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(d(y, sigma), d(y, sigma, label=torch.full((3,), 4)))
        guided, none = Guided(d, 3.0)(y, sigma, label=label), d(y, sigma)
        torch.testing.assert_close(guided, none + 3 * (d(y, sigma, label=label) - none), rtol=1e-4, atol=1e-2)
        with pytest.raises(InputError, match="0 to 4, got 5"):
            d(y, sigma, label=torch.tensor([0, 1, 5]))
        with pytest.raises(InputError, match="needs a class"):
            from_diffusers(net, scheduler)(y, 1.0)


def test_prompt_embeddings(prompted, noise):
    empty, prompt, y = noise(1, 7, 16, seed=1), noise(2, 7, 16, seed=2), noise(2, 4, 8, 8)
    d = from_diffusers(prompted, DDIMScheduler(clip_sample=False), null=empty)
    assert d.card.conditions == ("embedding",)
    with torch.inference_mode():
        sigma = d.schedule.sigmas[500].item()
        a = (1 + sigma**2) ** -0.5
        c = prompted(a * y, 500, encoder_hidden_states=prompt).sample
        u = prompted(a * y, 500, encoder_hidden_states=empty.expand(2, -1, -1)).sample
        torch.testing.assert_close(
            Guided(d, 3.0)(y, sigma, embedding=prompt), y - sigma * (u + 3 * (c - u)), rtol=1e-4, atol=1e-3
        )
        with pytest.raises(InputError, match="16 wide"):
            d(y, sigma, embedding=noise(2, 7, 12))


def test_a_network_that_learnt_its_variance(unet, noise):
    torch.manual_seed(0)
    net = DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        out_channels=8,
        num_layers=1,
        sample_size=8,
        num_embeds_ada_norm=10,
    ).eval()
    scheduler = DDPMScheduler(clip_sample=False, variance_type="learned_range")
    d = from_diffusers(net, scheduler)
    y, label = noise(2, 4, 8, 8), torch.tensor([3, 9])
    x_hat, fraction = d.with_variance(y, 1.0, label=label)
    torch.testing.assert_close(x_hat, d(y, 1.0, label=label))
    assert fraction.shape == y.shape
    d(y, 1.0)  # its class 10 means none
    drawn = sample(d, (4, 8, 8), 2, sampler="ddpm", steps=4, options={"variance": "learned"}, label=label)
    assert bool(drawn.x.isfinite().all())
    with pytest.raises(InputError, match="learnt"):
        sample(from_diffusers(unet(), scheduler), (3, 8, 8), 1, sampler="ddpm", options={"variance": "learned"})


@pytest.fixture
def folder(unet, tmp_path):
    DDPMPipeline(unet(), DDPMScheduler()).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_folder_there_and_back(folder, tmp_path, noise):
    d = from_diffusers(folder)
    again = from_diffusers(save(tmp_path / "copy", d))
    y = noise(1, 3, 8, 8)
    with torch.inference_mode():
        assert torch.equal(d(y, 0.5), again(y, 0.5))
    UNet2DModel.from_pretrained(tmp_path / "copy" / "unet")
    assert DDPMScheduler.from_pretrained(tmp_path / "copy" / "scheduler").config.clip_sample
    with pytest.raises(InputError, match="is there already"):
        save(tmp_path / "copy", d)


def test_our_digits_in_a_loop_of_diffusers(tmp_path):
    """The shipped model, saved, opened by diffusers' own loader, and sampled by diffusers' own EDM scheduler."""
    folder = save(tmp_path / "digits", "digits")
    net = Network.from_pretrained(folder / "unet")
    scheduler = EDMEulerScheduler.from_pretrained(folder / "scheduler")
    scheduler.set_timesteps(8)
    label = torch.tensor([3, 8])
    y = scheduler.config.sigma_max * torch.randn(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    x = y
    with torch.inference_mode():
        for t in scheduler.timesteps:
            out = net(scheduler.scale_model_input(x, t), t, class_labels=label).sample
            x = scheduler.step(out, t, x).prev_sample
        ours = ddim(load("digits"), (y + 1) / 2, grid(scheduler, 8) / 2, label=label)
    torch.testing.assert_close((x + 1) / 2, ours, rtol=0, atol=1e-4)
    assert isinstance(from_diffusers(folder), type(load("digits")))


@pytest.mark.parametrize("make", [DDIMScheduler, EulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler])
def test_a_denoiser_answers_what_any_scheduler_expects(make):
    target = GaussianMixture([0.5, 0.5], [[-1.0] * 4, [1.0] * 4], 0.2)
    scheduler = make(**({"clip_sample": False} if make is DDIMScheduler else {}))
    net = to_scheduler(target, scheduler, sample_size=2)
    scheduler.set_timesteps(12)
    levels, x = grid(scheduler, 12), torch.randn(6, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    y = x.double() / process(scheduler).scale(levels[0])
    z = y.float() if make is EulerDiscreteScheduler else x
    for t in scheduler.timesteps:
        seen = scheduler.scale_model_input(z, t) if hasattr(scheduler, "scale_model_input") else z
        z = scheduler.step(net(seen, t).sample, t, z).prev_sample
    torch.testing.assert_close(z, ddim(target, y, levels).float(), rtol=0, atol=2e-5)


def test_what_does_not_fit_is_one_sentence(unet, prompted_unet, folder, tmp_path):
    def said(*arguments):
        with pytest.raises(InputError) as caught:
            from_diffusers(*arguments)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "there is no folder" in said(tmp_path / "nothing")
    assert "pass its scheduler" in said(unet())
    assert "AutoencoderKL" in said(AutoencoderKL(block_out_channels=(32,)), DDIMScheduler())
    assert "use wrap_denoiser" in said(prompted_unet(class_embed_type="timestep"), DDIMScheduler())
    assert "unknown prediction type 'noise': did you mean" in said(
        folder, {"beta_schedule": "linear", "prediction_type": "noise"}
    ) or "unknown prediction type" in said(folder, {"beta_schedule": "linear", "prediction_type": "noise"})
    assert "unknown beta schedule 'liner': did you mean 'linear'" in said(folder, {"beta_schedule": "liner"})
    assert "has no counterpart" in said(folder, {"_class_name": "KarrasVeScheduler"})

    (folder / "scheduler" / "scheduler_config.json").rename(tmp_path / "kept")
    assert "holds no scheduler" in said(folder)
    (tmp_path / "kept").rename(folder / "scheduler" / "scheduler_config.json")

    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    config = folder / "unet" / "config.json"
    values = json.loads(config.read_text())
    config.write_text(json.dumps(values | {"block_out_channels": [16, 16]}))
    assert "do not fit its UNet2DModel" in said(folder)
    config.write_text(json.dumps(values | {"_class_name": "Kandinsky"}))
    assert "holds the architecture 'Kandinsky'" in said(folder)
    config.write_text("{")
    assert "is not a configuration" in said(folder)
    config.write_text(json.dumps(values))
    weights.write_bytes(weights.read_bytes()[:100])
    assert "weights in" in said(folder)
    weights.unlink()
    assert "weights in" in said(folder)
    config.unlink()
    assert "config.json is missing" in said(folder)
    with pytest.raises(InputError, match="at least 1"):
        grid(DDIMScheduler(), 0)
    with pytest.raises(InputError, match="weight file"):
        save(tmp_path / "x", GaussianMixture([1.0], [[0.0]], 1.0))
