"""Impulses are found, clean texture and Gaussian noise are not taken for them, and the decision is local."""

import pytest
import torch

from unnoise.errors import InputError
from unnoise.noise.impulses import impulse_mask
from unnoise.noise.models import Gaussian, Impulse
from unnoise.noise.seeds import generator


@pytest.mark.parametrize("share,recall", [(0.02, 0.85), (0.1, 0.88), (0.3, 0.85)])
def test_salt_and_pepper_is_found(photos, share, recall):
    for x in photos.values():
        y = Impulse(share).sample(x, generator(0))
        mask, visible = impulse_mask(y), (y - x).abs() > 0.2
        assert (mask & visible).sum() / visible.sum() > recall
        assert (mask & (y == x)).sum() / (y == x).sum() < 0.005


def test_random_impulses_are_found_when_they_stand_out(photos):
    for x in photos.values():
        y = Impulse(0.1, "random").sample(x, generator(1))
        mask, visible = impulse_mask(y), (y - x).abs() > 0.2
        assert (mask & visible).sum() / visible.sum() > 0.6
        assert (mask & (y == x)).sum() / (y == x).sum() < 0.005


def test_few_false_alarms_on_clean_pictures_and_on_gaussian_noise(photos):
    for x in photos.values():
        assert impulse_mask(x).float().mean() < 0.004
        assert impulse_mask(Gaussian(15 / 255).sample(x, generator(2))).float().mean() < 0.01


def test_no_decision_reaches_farther_than_two_pixels():
    y = torch.rand(1, 1, 21, 21, generator=generator(3))
    changed = y.clone()
    changed[0, 0, 10, 10] = 1 - changed[0, 0, 10, 10].round()
    rows, columns = (impulse_mask(y) != impulse_mask(changed))[0, 0].nonzero(as_tuple=True)
    assert ((rows - 10).abs() <= 2).all()
    assert ((columns - 10).abs() <= 2).all()


def test_every_sample_and_channel_is_judged_alone(photos):
    y = Impulse(0.1).sample(photos["astronaut"][..., :64, :80], generator(4))
    whole = impulse_mask(torch.cat([y, y.flip(1)]))
    assert torch.equal(whole[1, 2], impulse_mask(y[:, :1])[0, 0])


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (3, 3), (3, 5)])
def test_tiny_pictures(size):
    assert impulse_mask(torch.rand(1, 3, *size)).shape == (1, 3, *size)


def test_shape_is_checked():
    with pytest.raises(InputError, match=r"\(B, C, H, W\)"):
        impulse_mask(torch.zeros(3, 8, 8))
