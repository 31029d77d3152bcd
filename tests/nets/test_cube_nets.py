"""The networks for cubes: as many parameters as HyDe's, and the same output with the same weights."""

import pytest
import torch

from unnoise.nets.denet import denet
from unnoise.nets.memnet import MemNet
from unnoise.nets.qrnn import QRNN, scan

NETS = {
    "qrnn3d": lambda: QRNN(3),
    "qrnn2d": lambda: QRNN(1),
    "memnet": lambda: MemNet(10, 64, 6, 6, dims=2),
    "memnet3d": lambda: MemNet(1, 32, 2, 2, dims=3),
    "memnet3d_hyres": lambda: MemNet(1, 16, 3, 3, dims=3),
    "denet": lambda: denet(2),
    "denet3d": lambda: denet(3),
}
PARAMETERS = {
    "qrnn3d": 860_453,
    "qrnn2d": 287_333,
    "memnet": 2_915_860,
    "memnet3d": 231_106,
    "memnet3d_hyres": 130_210,
    "denet": 2_743_488,
    "denet3d": 915_296,
}
# mean, standard deviation and value [3, 4, 5] of what HyDe 0.4.3's networks make of `cube` with the weights of `fill`
HYDE = {
    "qrnn3d": (0.764722, 0.403783, 0.970327),
    "qrnn2d": (0.293400, 0.660354, -0.023963),
    "memnet": (0.502029, 0.353785, 0.760011),
    "memnet3d": (0.522877, 0.356544, 0.785997),
    "memnet3d_hyres": (0.511555, 0.358617, 0.734165),
    "denet": (-0.000105, 0.003979, 0.004107),
    "denet3d": (-0.017288, 0.092603, -0.064981),
}


def fill(net):
    """Weights by formula, so that two implementations can have the same ones without a file."""
    d = net.state_dict()
    norms = [k.removesuffix(".running_mean") for k in d if k.endswith("running_mean")]
    convs = [k for k in d if d[k].ndim >= 4]
    for i, k in enumerate(convs):
        n = torch.arange(d[k].numel())
        d[k].copy_((torch.sin(1.7 * n + i) * (2 / d[k][0].numel()) ** 0.5).reshape(d[k].shape))
    for i, k in enumerate(norms):
        n = torch.arange(d[f"{k}.weight"].numel())
        d[f"{k}.weight"].copy_(1 + 0.2 * torch.cos(n + i))
        d[f"{k}.bias"].copy_(0.1 * torch.sin(n + i))
        d[f"{k}.running_mean"].copy_(0.1 * torch.cos(2 * n + i))
        d[f"{k}.running_var"].copy_(1 + 0.5 * torch.sin(n - i))
    for k in d:
        if d[k].ndim == 1 and k.rsplit(".", 1)[0] not in norms:
            d[k].copy_(0.1 * torch.cos(torch.arange(d[k].numel())))
    return net.eval()


def cube(name):
    y = 0.5 + 0.5 * torch.sin(0.37 * torch.arange(10 * 8 * 12)).reshape(1, 10, 8, 12)
    return y if name in ("memnet", "denet") else y[:, None]


@pytest.mark.parametrize("name", NETS)
def test_parameters_are_as_many_as_hydes(name):
    assert sum(p.numel() for p in NETS[name]().parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", NETS)
@torch.no_grad()
def test_output_is_hydes_with_the_same_weights(name):
    x = fill(NETS[name]())(cube(name)).reshape(10, 8, 12)
    mean, std, value = HYDE[name]
    assert float(x.mean()) == pytest.approx(mean, abs=3e-6)
    assert float(x.std()) == pytest.approx(std, abs=3e-6)
    assert float(x[3, 4, 5]) == pytest.approx(value, abs=3e-6)


@pytest.mark.parametrize("name", ["qrnn2d", "memnet3d", "denet3d"])
def test_every_parameter_learns(name):
    torch.manual_seed(0)
    net, y = NETS[name]().train(), torch.rand(2, 1, 4, 8, 8)
    net(y).square().mean().backward()
    assert all(p.grad is not None and float(p.grad.abs().max()) > 0 for p in net.parameters())


def test_the_scan_is_the_recurrence_and_backwards_it_is_flipped():
    torch.manual_seed(1)
    z, f = torch.randn(2, 3, 7, 2, 2), torch.rand(2, 3, 7, 2, 2)
    h = torch.zeros(2, 3, 2, 2)
    states = scan(z, f)
    for t in range(7):
        h = f[:, :, t] * h + (1 - f[:, :, t]) * z[:, :, t]
        torch.testing.assert_close(states[:, :, t], h, rtol=1e-5, atol=1e-6)
    assert torch.equal(scan(z, f, reverse=True), scan(z.flip(2), f.flip(2)).flip(2))
