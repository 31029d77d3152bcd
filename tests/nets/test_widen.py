import pytest
import torch

from unnoise.nets.unet import UNet
from unnoise.nets.widen import widen


def test_a_widened_network_starts_with_the_same_output_and_gradients_in_its_new_channels():
    torch.manual_seed(0)
    narrow, wide = UNet(4, 3, (16, 32), (1, 2)), UNet(4, 3, (32, 48), (1, 2))
    widen(wide, narrow.state_dict())
    z = torch.randn(2, 4, 19, 26)
    torch.testing.assert_close(wide(z), narrow(z), rtol=1e-5, atol=1e-5)
    wide(z).square().sum().backward()
    assert wide.tail.weight.grad[:, 16:].abs().sum() > 0
    assert wide.head.weight[16:].abs().sum() > 0


def test_networks_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="different layers"):
        widen(UNet(4, 3, (16, 32), (1, 2)), UNet(4, 3, (16, 32), (1, 1)).state_dict())
    with pytest.raises(ValueError, match="does not fit"):
        widen(UNet(4, 3, (16, 32), (1, 1)), UNet(4, 3, (32, 32), (1, 1)).state_dict())
