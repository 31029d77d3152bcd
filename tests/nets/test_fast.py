import pytest
import torch
import torch.nn.functional as F

from unnoise.errors import InputError
from unnoise.nets.fast import (
    FusedBlock,
    Int8Block,
    activation_ranges,
    fast_supported,
    int8_supported,
    int8_weights,
    prepared,
    rounded,
)
from unnoise.nets.unet import ResBlock, UNet

fused = pytest.mark.skipif(not fast_supported(), reason="needs oneDNN on an x86 processor")
vnni = pytest.mark.skipif(not int8_supported(), reason="needs a processor with VNNI")


@pytest.fixture
def block():
    torch.manual_seed(0)
    return ResBlock(32).requires_grad_(False)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return UNet(4, 3, widths=(16, 32), blocks=(2, 1)).requires_grad_(False)


def activations(n, size=(17, 23)):
    return torch.randn(n, 32, *size).contiguous(memory_format=torch.channels_last)


@fused
@pytest.mark.parametrize("size", [(1, 1), (17, 23), (64, 64)])
def test_a_fused_block_is_the_block(block, size):
    h = activations(2, size)
    torch.testing.assert_close(FusedBlock(block, torch.float32)(h.clone()), block(h), rtol=1e-5, atol=1e-5)
    coarse = FusedBlock(block, torch.bfloat16)(h.bfloat16())
    assert (coarse - block(h)).abs().max() < 0.05


@vnni
@pytest.mark.parametrize("size", [(1, 1), (17, 23), (64, 64)])
def test_an_8_bit_block_is_its_simulation(block, size):
    h, (low, high, hidden) = activations(3, size), (-4.0, 3.0, 5.0)
    scale, zero = (high - low) / 255, round(-low / ((high - low) / 255))
    x = ((h / scale).round() + zero).clamp(0, 255).sub(zero) * scale
    w1, w2 = (codes * s for codes, s in (rounded(conv.weight) for conv in (block.conv1, block.conv2)))
    inner = F.relu(F.conv2d(x, w1, padding=1))
    inner = (inner / (hidden / 255)).round().clamp(0, 255) * (hidden / 255)
    wanted = h + F.conv2d(inner, w2, padding=1)
    found = Int8Block(block, (low, high, hidden))(h.clone())
    # a value half way between two codes may fall to either side
    assert ((found - wanted).abs() > 1e-5 * wanted.abs().max()).float().mean() < 0.02
    assert (found - wanted).norm() < 1e-3 * (wanted - h).norm()


def test_rounded_weights_are_within_half_a_step():
    weight = torch.randn(5, 4, 3, 3)
    weight[2] = 0
    codes, scale = rounded(weight)
    assert codes.dtype == torch.int8 and codes.abs().amax() == 127
    assert ((codes * scale - weight).abs() <= scale / 2 * 1.01).all()
    again, _ = rounded(codes * scale)
    assert torch.equal(again, codes)


def test_ranges_cover_most_of_what_passes_and_none_is_for_the_finest_stage(net):
    z = torch.randn(2, 4, 32, 32)
    seen = []
    handle = net.encoder[1][0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    ranges = activation_ranges(net, lambda: net(z))
    handle.remove()
    assert [r is None for r in ranges] == [True, True, False, True, True]
    low, high, hidden = ranges[2]
    assert 0.5 * seen[0].min() >= low >= 1.01 * seen[0].min() and 0.5 * seen[0].max() <= high <= 1.01 * seen[0].max()
    assert hidden > 0
    assert int8_weights(net, ranges) == ["encoder.1.0.conv1.weight", "encoder.1.0.conv2.weight"]
    assert not any(m._forward_pre_hooks for m in net.modules())


@fused
def test_a_prepared_network_is_the_network(net):
    z = torch.randn(1, 4, 21, 30)
    whole = net(z)
    ranges = activation_ranges(net, lambda: net(z))
    torch.testing.assert_close(prepared(net, torch.float32)(z), whole, rtol=1e-4, atol=1e-5)
    assert (prepared(net, torch.float32, ranges)(z) - whole).norm() < 0.02 * whole.norm()
    with pytest.raises(InputError, match="5 residual blocks needs as many ranges, got 2"):
        prepared(net, torch.float32, ranges[:2])
