import pytest
import torch

from unnoise.errors import InputError
from unnoise.nets.unet import UNet

CONFIGS = [
    {"widths": (16, 32), "blocks": (1, 1)},
    {"widths": (16, 16, 32), "blocks": (1, 2, 1), "decoder_blocks": (2, 1)},
    {"widths": (16, 16), "blocks": (1, 2), "unshuffle": 4},
    {"widths": (16, 16), "blocks": (0, 1), "unshuffle": 1},
]


def open_net(config: dict) -> UNet:
    """A net whose every path is positive, so that no ReLU hides a dependence."""
    net = UNet(1, 1, **config)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(p.abs() + 0.01)
    return net.double()


@pytest.mark.parametrize("config", CONFIGS)
def test_reach_is_the_distance_to_the_furthest_input_pixel_seen_at_every_phase(config):
    net = open_net(config)
    size = 2 * net.reach + 4 * net.stride
    size -= size % net.stride
    x = torch.ones(1, 1, net.stride, size, dtype=torch.float64, requires_grad=True)
    y = net(x).sum(2)[0, 0]
    middle = size // 2 - size // 2 % net.stride
    furthest = 0
    for p in range(middle, middle + net.stride):
        (g,) = torch.autograd.grad(y[p], x, retain_graph=True)
        seen = g[0, 0].abs().sum(0).nonzero().ravel()
        furthest = max(furthest, p - int(seen.min()), int(seen.max()) - p)
    assert furthest == net.reach


@pytest.mark.parametrize("config", CONFIGS)
def test_shifting_by_the_stride_shifts_the_output_and_by_less_does_not(config):
    torch.manual_seed(0)
    net = UNet(1, 1, **config).double()
    side = 2 * net.reach + 6 * net.stride
    x = torch.rand(1, 1, side, side, dtype=torch.float64)
    y = net(x)
    inner = slice(net.reach, side - net.stride - net.reach)
    s = net.stride
    moved = net(x[..., s:, s:])[..., inner, inner] - y[..., s:, s:][..., inner, inner]
    assert moved.abs().max() < 1e-12
    if s > 1:
        h = s // 2
        moved = net(x[..., h:, h:])[..., inner, inner] - y[..., h:, h:][..., inner, inner]
        assert moved.abs().max() > 1e-6


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (7, 16), (33, 31)])
def test_any_size_keeps_its_size(size):
    net = UNet(2, 3, widths=(16, 32, 32), blocks=(1, 1, 1))
    assert net(torch.rand(2, 2, *size)).shape == (2, 3, *size)


def test_padding_is_on_the_right_and_bottom_only():
    torch.manual_seed(0)
    net = UNet(1, 1, widths=(16, 32), blocks=(1, 1)).double()
    x = torch.rand(1, 1, 64, 61, dtype=torch.float64)
    full = net(torch.nn.functional.pad(x, (0, 3, 0, 0), mode="replicate"))
    assert torch.equal(net(x), full[..., :61])


def test_homogeneous_of_degree_one():
    torch.manual_seed(0)
    net = UNet(4, 3).double()
    z = torch.rand(1, 4, 24, 40, dtype=torch.float64)
    torch.testing.assert_close(net(0.3 * z), 0.3 * net(z), rtol=1e-9, atol=1e-12)


def test_size_of_the_calibrated_net():
    assert sum(p.numel() for p in UNet(4, 3).parameters()) == 2_352_960


@pytest.mark.parametrize(
    "config", [{"widths": (48, 96), "blocks": (1,)}, {"widths": (20,), "blocks": (1,)}, {"widths": (), "blocks": ()}]
)
def test_impossible_configurations_are_named(config):
    with pytest.raises(InputError, match="U-Net"):
        UNet(3, 3, **config)
