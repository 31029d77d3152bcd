"""C-BSN: blindness, samplers and losses as exact statements, the paper's parameter counts, and that it learns."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from unnoise.errors import InputError, MissingData
from unnoise.noise.models import Correlated
from unnoise.noise.seeds import generator
from unnoise.restore.cbsn import (
    CBSN,
    BlindSpotNet,
    batch_to_space,
    cbsn_loss,
    ramp,
    random_subsample,
    reflect,
    space_to_batch,
    statistics,
    suggest_stride,
)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return BlindSpotNet(2, 8, 2, 8).double()


def test_masked_outputs_do_not_see_their_own_pixel(net):
    """The gradient is exactly zero, borders included; unmasked it is not."""
    x = torch.randn(1, 2, 7, 9, dtype=torch.float64, requires_grad=True)
    for masked in (True, False):
        y = net(x, masked=masked)
        own = []
        for row in range(7):
            for column in range(9):
                [g] = torch.autograd.grad(y[0, :, row, column].sum(), x, retain_graph=True)
                own.append(float(g[0, :, row, column].abs().max()))
        assert (max(own) == 0) if masked else (min(own) > 0)


def test_the_receptive_field_is_59_pixels_with_the_holes_of_two_lattices():
    torch.manual_seed(0)
    net = BlindSpotNet(1, 4, 9, 4).double()
    with torch.no_grad():
        for p in net.parameters():
            p.abs_()  # no unit is off, so nothing that could be seen goes unseen
    assert net.reach == 29
    x = torch.rand(1, 1, 65, 65, dtype=torch.float64, requires_grad=True)
    [g] = torch.autograd.grad(net(x, masked=True)[0, 0, 32, 32], x)
    seen = g[0, 0] != 0
    rows = torch.nonzero(seen.any(1)).flatten()
    assert (int(rows.min()), int(rows.max())) == (32 - 29, 32 + 29)
    d = torch.arange(65) - 32
    off2 = (d % 2 != 0)[:, None] | (d % 2 != 0)  # mask offset plus multiples of 2: never both even
    off3 = (d % 3 != 0)[:, None] | (d % 3 != 0)
    near = (d.abs() <= 19)[:, None] & (d.abs() <= 19)
    assert not seen[~off3 & ~(off2 & near)].any() and not seen[32, 32]
    assert seen[(d.abs() <= 10)[:, None] & (d.abs() <= 10) & (off2 | off3)].all()


@pytest.mark.parametrize(
    ("width", "modules", "tail", "count"),
    [
        (128, 9, 64, 3_656_131),
        (16, 2, 64, 26_771),
        (16, 2, 32, 23_027),
        (32, 3, 32, 107_459),
        (48, 4, 48, 287_331),
        (64, 5, 64, 592_259),
    ],
)
def test_parameter_counts_of_the_paper(width, modules, tail, count):
    assert sum(p.numel() for p in BlindSpotNet(3, width, modules, tail).parameters()) == count


def test_without_centre_taps_the_switch_does_nothing(net):
    with torch.no_grad():
        for branch in net.branches:
            k = branch.head.conv.weight.shape[-1] // 2
            branch.head.conv.weight[..., k, k] = 0
    x = torch.randn(1, 2, 12, 12, dtype=torch.float64)
    assert torch.equal(net(x, masked=True), net(x, masked=False))


def test_space_to_batch_is_exact_and_in_order():
    x = torch.rand(2, 3, 6, 9)
    s = space_to_batch(x, 3)
    assert torch.equal(batch_to_space(s, 3), x)
    for dy, dx, b in ((0, 0, 0), (1, 2, 1), (2, 0, 0)):
        assert torch.equal(s[(dy * 3 + dx) * 2 + b], x[b, :, dy::3, dx::3])
    assert torch.equal(batch_to_space(space_to_batch(x, 3).sin(), 3), x.sin())
    with pytest.raises(InputError, match="height 6 and width 9 must be multiples of the stride 5"):
        space_to_batch(x, 5)


def test_dilated_convolutions_are_dense_ones_on_space_to_batch_data():
    x, w = torch.randn(1, 4, 12, 18, dtype=torch.float64), torch.randn(4, 4, 3, 3, dtype=torch.float64)
    for d in (2, 3):
        dense = batch_to_space(F.conv2d(space_to_batch(x, d), w, padding=1), d)
        assert torch.allclose(F.conv2d(x, w, padding=d, dilation=d), dense)


def test_the_random_subsampler_takes_whole_pixels_of_its_own_cells():
    x = torch.rand(2, 3, 8, 10)
    for k in range(4):
        sub, _ = random_subsample(x, 2, torch.full((2, 4, 5), k))
        assert torch.equal(sub, x[:, :, k // 2 :: 2, k % 2 :: 2])
    sub, index = random_subsample(x, 2, generator=generator(0))
    cells = F.unfold(x, 2, stride=2).reshape(2, 3, 4, 4, 5)
    assert torch.equal(sub, cells.gather(2, index[:, None, None].expand(2, 3, 1, 4, 5))[:, :, 0])
    assert torch.equal(random_subsample(x.exp(), 2, index)[0], sub.exp())
    many = random_subsample(torch.zeros(1, 1, 200, 200), 2, generator=generator(1))[1]
    assert np.bincount(many.flatten()) == pytest.approx([2500] * 4, abs=200)
    with pytest.raises(InputError, match="stride 3"):
        random_subsample(x, 3)


def test_centre_taps_learn_from_the_unmasked_losses_alone(net):
    x = torch.randn(1, 2, 20, 20, dtype=torch.float64)

    def centres(loss):
        heads = [branch.head.conv.weight for branch in net.branches]
        grads = torch.autograd.grad(loss, heads)
        return max(float(g[..., g.shape[2] // 2, g.shape[3] // 2].abs().max()) for g in grads)

    blind, parts = cbsn_loss(net, x, 0)
    assert parts["weight"] == 0 and float(blind.detach()) == parts["blind"]
    assert centres(blind) == 0
    assert centres(cbsn_loss(net, x, 1, ramp_steps=0, lam=0)[0]) > 0


def test_the_target_of_the_invariance_loss_is_a_constant(net):
    x = torch.randn(2, 2, 20, 20, dtype=torch.float64)
    _, index = random_subsample(x, 2, generator=generator(0))
    with_lam = cbsn_loss(net, x, 1, ramp_steps=0, index=index)[0]
    without = cbsn_loss(net, x, 1, ramp_steps=0, lam=0)[0]
    weights = list(net.parameters())
    got = torch.autograd.grad(with_lam - without, weights, allow_unused=True)
    target = net(random_subsample(x, 2, index)[0], masked=True).detach()
    inv = 2 * (random_subsample(net(x, masked=False), 2, index)[0] - target).abs().mean()
    for a, b in zip(got, torch.autograd.grad(inv, weights), strict=True):
        assert torch.allclose(a, b, atol=1e-12)


def test_the_ramp_and_the_parts_add_up(net):
    assert [ramp(t) for t in (0, 100_000, 200_000, 300_000)] == [0, 0.5, 1, 1]
    assert ramp(10**9, None) == 0
    x = torch.randn(1, 2, 20, 20, dtype=torch.float64)
    loss, parts = cbsn_loss(net, x, 50_000, generator=generator(0))
    total = parts["blind"] + parts["weight"] * (parts["self"] + 2 * parts["inv"])
    assert parts["weight"] == 0.25 and float(loss.detach()) == pytest.approx(total)
    with pytest.raises(InputError, match="stride 5"):
        cbsn_loss(net, x[..., :18], 1)


def test_the_identity_behind_the_loss():
    """||f - y||² + ||n||² = ||f - x||² + 2 <f - y, n> holds for every sample."""
    y, n, f = (torch.randn(3, 40, 40, dtype=torch.float64, generator=generator(i)) for i in range(3))
    x = y + n
    left = (f - y).square().sum() + n.square().sum()
    assert float(left - (f - x).square().sum() - 2 * ((f - y) * n).sum()) == pytest.approx(0, abs=1e-9)


def test_blind_errors_do_not_follow_white_noise(net):
    clean = torch.linspace(0, 1, 200, dtype=torch.float64).expand(1, 2, 200, 200)
    n = torch.randn(1, 2, 200, 200, dtype=torch.float64, generator=generator(3))
    with torch.no_grad():
        error = net(clean + 0.3 * n, masked=True) - clean
        seen = net(clean + 0.3 * n, masked=False) - clean
    centred = ((e - e.mean((2, 3), keepdim=True)) * n for e in (error, seen))
    blind, open_eyed = (float(c.mean((0, 2, 3)).abs().max()) for c in centred)
    bound = 4 * float(error.std((2, 3)).max()) / 200  # a mean over 200 x 200 products with white noise
    assert blind < bound < open_eyed


@pytest.mark.parametrize("mode", ["unmasked", "blind", "blind-pd"])
def test_gain_and_offset_of_a_channel_pass_through(mode):
    torch.manual_seed(0)
    denoiser = CBSN(width=8, n_modules=1, tail=8, mode=mode).eval()
    y = torch.rand(1, 3, 24, 33)
    a, b = torch.tensor([0.5, 3, 1])[:, None, None], torch.tensor([0.1, -2, 0])[:, None, None]
    with torch.no_grad():
        assert torch.allclose(denoiser(a * y + b), a * denoiser(y) + b, atol=1e-4)


def test_statistics_are_those_of_the_population_with_a_floor():
    x = torch.rand(2, 3, 5, 4)
    mean, deviation = statistics(x)
    assert torch.allclose(deviation[0, 0, 0, 0], x[0, 0].std(correction=0))
    assert float(statistics(torch.ones(1, 1, 5, 4))[1]) == pytest.approx(20**-0.5)
    assert mean.shape == (2, 3, 1, 1)


def test_tiles_do_not_show_and_any_size_works():
    torch.manual_seed(0)
    y = torch.rand(1, 3, 70, 45)
    whole = CBSN(width=8, n_modules=2, tail=8).eval()
    tiled = CBSN(width=8, n_modules=2, tail=8, tile=16).eval()
    tiled.load_state_dict(whole.state_dict())
    with torch.no_grad():
        assert torch.allclose(whole(y), tiled(y), atol=1e-5)
        assert whole(y[..., :3, :1]).shape == (1, 3, 3, 1)
    with pytest.raises(InputError, match="made for 3 channels"):
        whole(y[:, :1])
    with pytest.raises(InputError, match="NaN"):
        whole(y / 0)


def test_reflection_repeats_where_a_picture_is_small():
    row = torch.tensor([[[[1.0, 2.0, 3.0]]]]).expand(1, 1, 2, 3)
    assert reflect(row, (0, 0, 4, 0))[0, 0, 0].tolist() == [1, 2, 3, 2, 1, 2, 3]


@pytest.mark.parametrize(("width", "least", "most"), [(0.0, 1, 1), (0.7, 2, 3), (1.2, 3, 4), (1.6, 4, 5)])
def test_the_stride_follows_the_correlation(width, least, most):
    flat = torch.full((1, 1, 256, 256), 0.5)
    noise = torch.randn(flat.shape, generator=generator(0)) if width == 0 else None
    y = flat + 0.05 * noise if noise is not None else Correlated(0.05, width).sample(flat, generator(0))
    assert least <= suggest_stride(y) <= most


def test_without_weights_it_says_where_they_come_from():
    from unnoise.restore import METHODS

    with pytest.raises(MissingData, match="pass --adapt"):
        METHODS["cbsn"].create()
