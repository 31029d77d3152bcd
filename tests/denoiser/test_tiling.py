import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unnoise.denoiser import Card, Denoiser, Tiled
from unnoise.errors import InputError


def dependence(denoiser, h, w, i, j):
    """Input pixels on which output pixel (i, j) depends, from the gradient."""
    y = torch.rand(1, 1, h, w, dtype=torch.float64, requires_grad=True)
    denoiser.double()(y, 0.1)[0, 0, i, j].backward()
    return y.grad[0, 0].nonzero()


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_declared_reach_is_the_true_one_at_every_phase(strided, stride):
    d = strided(stride)
    farthest = 0
    for i, j in itertools.product(range(stride), repeat=2):
        at = torch.tensor([16 + i, 16 + j])
        farthest = max(farthest, (dependence(d, 33, 35, *at.tolist()) - at).abs().max().item())
    assert farthest == d.card.reach


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("tile", [1, 7, 8, 16, (8, 24)])
def test_tiled_equals_untiled_at_every_odd_size(strided, stride, tile):
    d = strided(stride)
    sizes = [(1, 1), (3, 5), (9, 8)] if tile == 1 else [(1, 1), (3, 5), (16, 16), (33, 40), (31, 47), (29, 30)]
    for h, w in sizes:
        y = torch.rand(2, 3, h, w)
        torch.testing.assert_close(Tiled(d, tile)(y, 0.1), d(y, 0.1), rtol=0, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(h=st.integers(1, 50), w=st.integers(1, 50), tile=st.integers(4, 40), stride=st.sampled_from([1, 2, 3, 4]))
def test_tiled_equals_untiled_anywhere(h, w, tile, stride):
    class Coarse(Denoiser):
        """Mean over 3x3 blocks of the coarse grid, added back with its phase."""

        card = Card(channels=1, reach=2 * stride - 1, stride=stride)

        def forward(self, y, sigma=None):
            z = torch.nn.functional.pad(y, (0, -w_of(y) % stride, 0, -h_of(y) % stride), mode="replicate")
            phase = torch.arange(z.shape[-1]) % stride + 10 * (torch.arange(z.shape[-2]) % stride)[:, None]
            z = torch.nn.functional.avg_pool2d(z * (1 + phase), stride)
            z = torch.nn.functional.avg_pool2d(z, 3, 1, 1, count_include_pad=False)
            return z.repeat_interleave(stride, -1).repeat_interleave(stride, -2)[..., : h_of(y), : w_of(y)]

    y = torch.rand(1, 1, h, w)
    torch.testing.assert_close(Tiled(Coarse(), tile)(y), Coarse()(y), rtol=0, atol=1e-5)


def h_of(y):
    return y.shape[-2]


def w_of(y):
    return y.shape[-1]


def test_too_small_a_halo_is_visible(strided):
    # the promise is not vacuous: the same tiling with an understated reach leaves seams
    d = strided(2)
    tiled = Tiled(d, 8)
    tiled.halo -= 4
    y = torch.rand(1, 1, 40, 40)
    assert (tiled(y, 0.1) - d(y, 0.1)).abs().max() > 1e-3


def test_sigma_and_condition_maps_are_cut_with_the_tiles(strided):
    d = strided(2)
    y = torch.rand(2, 3, 37, 29)
    sigma_map, gain = torch.rand(2, 1, 37, 29), torch.rand(1, 3, 37, 29)
    per_channel, per_sample = torch.rand(1, 3, 1, 1), torch.rand(2)
    for sigma in (sigma_map, per_channel, per_sample, 0.2):
        torch.testing.assert_close(Tiled(d, 12)(y, sigma, gain=gain), d(y, sigma, gain=gain), rtol=0, atol=1e-5)


def test_layout_of_the_input_is_kept_and_nothing_is_copied_whole(strided):
    y = torch.rand(40, 50, 3).permute(2, 0, 1)[None]  # what numpy HWC looks like
    x_hat = Tiled(strided(2), 16)(y, 0.1)
    assert x_hat.stride() == y.stride()


def test_three_spatial_dimensions():
    class Blur3d(Denoiser):
        card = Card(kind="any", reach=1)

        def forward(self, y, sigma=None):
            return torch.nn.functional.conv3d(y, torch.ones(2, 1, 3, 3, 3) / 27, padding=1, groups=2)

    y = torch.rand(1, 2, 9, 11, 7)
    torch.testing.assert_close(Tiled(Blur3d(), 4)(y), Blur3d()(y), rtol=0, atol=1e-6)


def test_progress_counts_every_pixel(strided):
    seen = []
    Tiled(strided(1), 16, progress=lambda done, total: seen.append((done, total)))(torch.rand(1, 1, 40, 30), 0.1)
    assert len(seen) == 6
    assert seen[-1] == (1200, 1200)


def test_global_denoisers_and_empty_tiles_are_refused(strided, linear):
    class Mean(Denoiser):
        card = Card(reach=None)

    with pytest.raises(InputError, match="whole picture"):
        Tiled(Mean(), 8)
    with pytest.raises(InputError, match="at least 1"):
        Tiled(linear, 0)
    with pytest.raises(InputError, match="one edge for each"):
        Tiled(linear, (8, 8, 8))(torch.rand(1, 1, 9, 9), 0.1)
