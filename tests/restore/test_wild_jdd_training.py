"""Training and adaptation of Wild-JDD."""

import numpy as np
import pytest
import torch

from unnoise.errors import InputError
from unnoise.noise.demosaick import demosaick, mosaic
from unnoise.noise.seeds import generator
from unnoise.restore.jdd import network
from unnoise.restore.photo_training import photographs
from unnoise.restore.wild_jdd import JDDOutput, WildJDD
from unnoise.restore.wild_jdd_adapt import (
    OFFSETS,
    adapt,
    adaptation_loss,
    agreement,
    finetune,
    neighbours,
    noise_of,
    recorrupted,
    shifted,
)
from unnoise.restore.wild_jdd_training import JDDPreset, NoiseOptions, jdd_loss, noisy_batch, sigma_map, train
from unnoise.training.presets import load_preset


def test_the_papers_scale_trains_every_weight():
    p = load_preset(JDDPreset, "wild_jdd", "paper")
    net = WildJDD(**p.net.model_dump())
    count = sum(q.numel() for q in net.parameters())
    assert 1.5e6 < count < 2.5e6  # about 1.9 M in the spec
    with torch.no_grad():
        for q in net.parameters():
            if not bool(q.any()):
                q.normal_(0, 0.01)  # the last layers begin at zero, behind which nothing has a gradient yet
    batch = noisy_batch(torch.rand(1, 3, 16, 16, generator=generator(0)), p.noise, generator(1))
    loss = jdd_loss(net(batch["mosaic"]), batch | {"step": torch.zeros(1)}, p)
    loss.backward()
    assert bool(torch.isfinite(loss))
    assert [n for n, q in net.named_parameters() if q.grad is None or not bool(q.grad.abs().max() > 0)] == []


@pytest.mark.parametrize("loss", ["elbo", "mse", "l1", "l1-elbo", "map"])
def test_the_smoke_preset_trains_and_its_file_loads(tmp_path, loss):
    losses = []
    changes = [f"loss={loss}", "fit.steps=20"]
    path = train("smoke", changes, out=tmp_path, progress=lambda p: losses.append(p.loss))
    assert len(losses) == 20 and np.isfinite(losses).all()
    net = network(path)
    assert net.card.training["steps"] == 20 and "--preset smoke" in net.card.training["command"]
    x = torch.rand(1, 1, 12, 12)
    assert torch.equal(net(x).mean, demosaick(x, "bilinear")) == (loss == "map")
    p = load_preset(JDDPreset, "wild_jdd", "smoke", changes)
    begin = WildJDD(**p.net.model_dump())
    begin.log_beta.copy_(net.log_beta)
    clean = photographs(p.data, None)[0].batch(100, 8, 32)
    batch = noisy_batch(clean, p.noise, generator(8)) | {"step": torch.full((8,), 100)}
    with torch.no_grad():
        after, before = (float(jdd_loss(each(batch["mosaic"]), batch, p)) for each in (net, begin))
    assert after < before or loss == "l1"  # l1 needs more steps than these
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not a safetensors file"):
        network(tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="not a Wild-JDD"):
        network("photo")


def test_noise_levels_vary_between_their_ends():
    maps = sigma_map(50, 32, 0.1, generator(0))
    assert maps.shape == (50, 1, 32, 32) and float(maps.min()) >= 0 and float(maps.max()) <= 0.1
    assert float((maps.amax((1, 2, 3)) - maps.amin((1, 2, 3))).mean()) == pytest.approx(0.1 / 3, rel=0.3)


def test_imperfect_references_are_what_the_mosaic_is_made_of():
    clean = torch.rand(6, 3, 16, 16, generator=generator(2))
    batch = noisy_batch(clean, NoiseOptions(sigma_max=0, imperfect=1.0), generator(3))
    assert torch.allclose(batch["y"], demosaick(mosaic(clean), "bilinear"))
    assert torch.allclose(batch["mosaic"], mosaic(batch["y"]))


def test_neighbours_are_of_the_same_colour_and_never_the_pixel_itself():
    dy, dx = neighbours((4, 20, 20), generator(0))
    assert bool(((dy != 0) | (dx != 0)).all()) and bool(((dy % 2 == 0) & (dx % 2 == 0)).all())
    assert {(int(a), int(b)) for a, b in zip(dy.flatten(), dx.flatten(), strict=True)} == set(OFFSETS)
    colour = torch.tensor([[0.0, 1.0], [1.0, 2.0]]).repeat(10, 10).expand(4, 1, 20, 20)
    assert torch.equal(shifted(colour, (dy, dx)), colour)
    x = torch.rand(1, 2, 9, 8)
    two = (torch.full((1, 1, 9, 8), 2), torch.full((1, 1, 9, 8), -2))
    assert torch.equal(shifted(x, two)[..., :-2, 2:], x[..., 2:, :-2])


def test_the_mask_follows_sigma():
    x, y = torch.rand(2, 1, 3, 8, 8)
    assert bool((agreement(x, y, torch.tensor(float("inf"))) == 1).all())
    assert bool((agreement(x, y, torch.tensor(0.0)) == 0).all())


def test_the_mask_carries_no_gradient_into_the_noise_map():
    net = WildJDD(width=8, groups=0, blocks=1)
    sigma = torch.full((1, 1, 16, 16), 0.1)
    loss, kept = adaptation_loss(net, torch.rand(1, 1, 16, 16), sigma, generator(0), "neighbour")
    loss.backward()
    assert 0 <= kept < 1 and bool(torch.isfinite(loss))


def pull(reference, draws=300):
    """Mean and standard error of the loss's gradient for a network that gives the truth, a sharp edge, away from it
    and at it; in units of the deviation of a single gradient."""
    clean = torch.full((1, 3, 16, 16), 0.3)
    clean[..., 7:] = 0.6
    sigma = torch.full((1, 1, 16, 16), 0.1)
    ones = torch.ones_like(clean)
    total, squares = torch.zeros_like(clean), torch.zeros_like(clean)
    for k in range(draws):
        mean = clean.clone().requires_grad_()
        raw = mosaic(clean) + sigma * torch.randn(1, 1, 16, 16, generator=generator(3, k))
        out = JDDOutput(mean, ones, 24.5 * ones, 0.24 * ones)
        adaptation_loss(lambda _, out=out: out, raw, sigma, generator(4, k), reference)[0].backward()
        total, squares = total + mean.grad / draws, squares + mean.grad.square() / draws
    error = ((squares - total.square()) / draws).sqrt()
    edge, flat = total[..., 4:12, 6:8], total[..., 4:12, 11:13]
    return float(edge.abs().mean() / error.mean()), float(flat.abs().mean() / error.mean())


def test_a_true_picture_is_left_alone_at_edges_by_recorrupted_mosaics_and_softened_by_neighbours():
    chance = (2 / np.pi) ** 0.5  # of |n|, n standard normal
    at_edges, elsewhere = pull("recorrupted")
    assert at_edges == pytest.approx(chance, rel=0.3) and elsewhere == pytest.approx(chance, rel=0.3)
    at_edges, elsewhere = pull("neighbour")
    assert at_edges > 4 and elsewhere == pytest.approx(chance, rel=0.35)


def test_the_noises_of_recorrupted_mosaics_do_not_correlate():
    sigma = torch.linspace(0.02, 0.2, 300).expand(1, 1, 200, 300)
    noise = sigma * torch.randn(1, 1, 200, 300, generator=generator(7))
    a, b = (each / sigma for each in recorrupted(noise, sigma, generator(8), 0.5))
    assert float(a.var()) == pytest.approx(1.25, rel=0.02) and float(b.var()) == pytest.approx(5.0, rel=0.02)
    assert abs(float((a * b).mean())) < 4 * (1.25 * 5 / a.numel()) ** 0.5


def test_adaptation_learns_the_noise_of_the_input():
    """A flat mosaic with noise the network has not seen: the noise map moves to its level, from below and above."""
    for begin in (0.03, 0.12):
        torch.manual_seed(0)
        net = WildJDD(width=8, groups=0, blocks=1)
        net.log_beta.fill_(np.log(24.5 * begin**2))
        raw = 0.5 + 0.06 * torch.randn(1, 64, 64, generator=generator(4))
        finetune(net, [raw], steps=60, crop=32, batch=2, lr=5e-4)
        with torch.no_grad():
            assert float(net(raw[None]).variance().mean().sqrt()) == pytest.approx(0.06, rel=0.2)


def test_the_noise_of_samples_is_found_without_a_truth_and_beside_texture():
    """Photons on flat and on checked ground: what is measured at each place alone takes the checks for noise."""
    rows, columns = torch.arange(96)[:, None], torch.arange(128)
    clean = (0.2 + 0.5 * (columns > 60) + 0 * rows).expand(1, 3, 96, 128).clone()
    clean[..., 32:64, :] += 0.1 * ((rows[32:64] // 4 + columns // 4) % 2)
    raw = mosaic(clean)
    true = (0.01 * raw).sqrt()
    noisy = [raw[0] + true[0] * torch.randn(1, 96, 128, generator=generator(6, i)) for i in range(2)]
    odd = (noisy[1][:, :95, :127], true[0][:, :95, :127])
    for found, expected in zip(noise_of(network(), [noisy[0], odd[0]]), (true[0], odd[1]), strict=True):
        assert found.shape == expected.shape
        assert float((found / expected).median()) == pytest.approx(1.0, abs=0.1)
        assert float((found / expected - 1).abs().mean()) < 0.12


def test_interpolated_values_must_agree_better_than_samples():
    x = torch.zeros(1, 3, 4, 4)
    near = agreement(x, torch.full_like(x, 0.6), torch.tensor(1.0), 1.0)
    assert torch.equal(near[0, 1], torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(2, 2))  # greens, and means of four
    assert torch.equal(near[0, 0], torch.tensor([[1.0, 1.0], [1.0, 0.0]]).repeat(2, 2))  # reds, means of two, of four


def test_mistakes():
    net = WildJDD(width=8, groups=0, blocks=1)
    with pytest.raises(InputError, match="of 64 x 64 or more"):
        finetune(net, [torch.zeros(1, 32, 32)])
    with pytest.raises(InputError, match="cuts a Bayer cell"):
        finetune(net, [torch.zeros(1, 32, 32)], crop=15)
    with pytest.raises(InputError, match="unknown reference 'neighbor': did you mean 'neighbour'"):
        finetune(net, [torch.zeros(1, 64, 64)], reference="neighbor")
    with pytest.raises(InputError, match="spread must be a finite number > 0, got 0"):
        finetune(net, [torch.zeros(1, 64, 64)], spread=0.0)
    for mosaics in ([], [torch.zeros(1, 2, 2)], [torch.zeros(3, 64, 64)]):
        with pytest.raises(InputError, match="adaptation takes mosaics"):
            adapt(mosaics, steps=1, weights=net)
    with pytest.raises(InputError, match="minutes must be"):
        adapt([torch.zeros(1, 32, 32)], minutes=0, weights=net)


def test_what_adapt_gives_is_another_network_than_it_was_given():
    net = WildJDD(width=8, groups=0, blocks=1)
    before = {name: t.clone() for name, t in net.state_dict().items()}
    raw = 0.5 + 0.05 * torch.randn(1, 24, 20, generator=generator(5))
    learnt = adapt([raw], steps=2, weights=net)["weights"]
    assert all(torch.equal(before[name], t) for name, t in net.state_dict().items())
    assert not torch.equal(learnt(raw[None]).mean, net(raw[None]).mean)
    with pytest.raises(InputError, match="raise mask_k to"):
        adapt([raw], steps=1, weights=net, reference="neighbour", mask_k=1e-4)
