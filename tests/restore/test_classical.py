"""Facts about the classical methods: what they gain, how far they look, that tiles agree."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from unnoise.denoiser import Tiled
from unnoise.errors import InputError
from unnoise.restore import METHODS

CLASSICAL = [name for name, method in METHODS.items() if ".classical" in method.build]
AWARE = [name for name in CLASSICAL if METHODS[name].needs_sigma]
LOCAL = ["dct", "nlm", "tv", "bilateral", "median"]
# PSNR gained over the noisy picture at sigma 25/255, RGB and gray; a few tenths under what was measured
GAIN = {"dct": (8.5, 7.5), "nlm": (7.0, 7.0), "wavelet": (6.5, 5.5), "tv": (7.0, 6.0), "bilateral": (6.0, 5.5)}


def test_the_table_of_methods_imports_nothing_heavy():
    code = """
import sys, unnoise.restore
print([name for name in ('torch', 'skimage', 'cv2', 'scipy', 'numpy') if name in sys.modules])"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize("name", CLASSICAL)
def test_a_method_is_called_what_its_key_says_and_its_card_agrees(name):
    method = METHODS[name]
    assert method.name == name
    card = method.create().card
    assert card.blind is not method.needs_sigma
    assert (card.reach is None) == (name == "wavelet")


@pytest.mark.parametrize("name", GAIN)
def test_gain_on_real_pictures(name, astronaut, camera, noisy, psnr):
    for x, least in zip((astronaut, camera), GAIN[name], strict=True):
        y = noisy(x, 25 / 255)
        assert psnr(METHODS[name].create()(y, 25 / 255), x) - psnr(y, x) > least


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (1, 40), (9, 2)])
def test_tiny_pictures_come_back_finite_in_their_shape(name, shape):
    y = torch.rand(2, 3, *shape)
    x_hat = METHODS[name].create()(y, 0.1)
    assert x_hat.shape == y.shape and x_hat.dtype == y.dtype and torch.isfinite(x_hat).all()


@pytest.mark.parametrize("name", CLASSICAL)
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_any_number_of_channels_and_a_batch_is_its_samples(name, channels):
    y = torch.rand(2, channels, 20, 23, generator=torch.Generator().manual_seed(1))
    denoiser = METHODS[name].create()
    both = denoiser(y, torch.tensor([0.1, 0.2]))
    assert torch.allclose(both[1:], denoiser(y[1:], 0.2), atol=1e-6)


@pytest.mark.parametrize("name", AWARE)
def test_without_noise_nothing_changes(name):
    y = torch.rand(1, 3, 20, 23)
    assert torch.allclose(METHODS[name].create()(y, 0.0), y, atol=1e-5)


@pytest.mark.parametrize("name", CLASSICAL)
def test_the_input_is_left_alone(name):
    y = torch.rand(1, 3, 20, 23)
    before = y.clone()
    METHODS[name].create()(y, 0.1)
    assert torch.equal(y, before)


@pytest.mark.parametrize("name", AWARE)
def test_scaling_the_data_and_the_level_scales_the_result(name, camera, noisy):
    y = noisy(camera, 0.1)[..., :48, :48]
    denoiser = METHODS[name].create()
    assert torch.allclose(denoiser(0.25 * y, 0.025), 0.25 * denoiser(y, 0.1), atol=1e-4)


@pytest.mark.parametrize("name", LOCAL)
def test_reach_is_no_larger_and_no_smaller_than_the_card_says(name):
    denoiser = METHODS[name].create()
    reach, size = denoiser.card.reach, 2 * denoiser.card.reach + 9
    y = torch.rand(1, 1, size, size, generator=torch.Generator().manual_seed(2))
    middle = size // 2
    touched = 0
    for value in (0.0, 1.0, 0.5):
        z = y.clone()
        z[..., middle, middle] = value
        change = (denoiser(z, 0.3) - denoiser(y, 0.3)).abs()[0, 0].amax(0)
        far = (change > 1e-7).nonzero()
        touched = max(touched, int((far - middle).abs().max()) if len(far) else 0)
    assert touched <= reach
    # what is promised too far costs time only; the slack of iterative methods is how fast influence decays
    assert touched >= {"dct": reach - 1, "nlm": reach, "bilateral": reach, "median": 0}.get(name, 1)


@pytest.mark.parametrize("name", LOCAL)
@pytest.mark.parametrize("size", [(97, 70), (64, 131)])
def test_tiles_equal_the_whole(name, size, astronaut, noisy):
    y = noisy(astronaut, 0.1).repeat(1, 1, 1, 2)[..., : size[0], : size[1]]
    denoiser = METHODS[name].create()
    assert (Tiled(denoiser, 37)(y, 0.1) - denoiser(y, 0.1)).abs().max() < 1e-5


@pytest.mark.parametrize("step", [2, 3])
def test_windows_on_a_grid_are_tiled_in_phase(step, astronaut, noisy):
    y = noisy(astronaut, 0.1)[..., :77, :90]
    denoiser = METHODS["dct"].create(step=step)
    assert denoiser.card.stride == step
    assert (Tiled(denoiser, 25)(y, 0.1) - denoiser(y, 0.1)).abs().max() < 1e-5


@pytest.mark.parametrize("name", [name for name in AWARE if name in LOCAL])
def test_a_noise_map_tiles_and_gives_each_half_what_its_level_gives(name, camera, noisy):
    level = torch.full((1, 1, 128, 128), 0.0625)
    level[..., 64:] = 0.125  # both on the grid of levels
    y = noisy(camera, level)
    denoiser = METHODS[name].create()
    whole = denoiser(y, level)
    far = denoiser.card.reach
    if name != "tv":  # its reach covers the picture
        assert torch.allclose(whole[..., : 64 - far], denoiser(y, 0.0625)[..., : 64 - far], atol=1e-5)
        assert torch.allclose(whole[..., 64 + far :], denoiser(y, 0.125)[..., 64 + far :], atol=1e-5)
    assert (Tiled(denoiser, 50)(y, level) - whole).abs().max() < 1e-5


@pytest.mark.parametrize("name", AWARE)
def test_a_channel_without_noise_keeps_its_values_where_channels_are_apart(name):
    y = torch.rand(1, 2, 24, 24)
    x_hat = METHODS[name].create()(y, torch.tensor([0.0, 0.2])[None, :, None, None])
    assert torch.allclose(x_hat[:, 0], y[:, 0], atol=1e-5)
    assert not torch.allclose(x_hat[:, 1], y[:, 1], atol=1e-3)


def test_the_selective_median_removes_impulses_and_keeps_the_rest(astronaut, psnr):
    generator = torch.Generator().manual_seed(3)
    hit = torch.rand(astronaut.shape, generator=generator) < 0.05
    y = torch.where(hit, (torch.rand(astronaut.shape, generator=generator) < 0.5).float(), astronaut)
    x_hat = METHODS["median"].create()(y)
    assert psnr(x_hat, astronaut) - psnr(y, astronaut) > 10
    assert (x_hat == y)[~hit].float().mean() > 0.97


def test_the_plain_median_is_scipys(camera):
    from scipy.ndimage import median_filter

    ours = METHODS["median"].create(selective=False)(camera)[0, 0].numpy()
    assert np.array_equal(ours, median_filter(camera[0, 0].numpy(), 3, mode="nearest"))


def test_coloured_noise_needs_its_spectrum(camera, psnr):
    """Noise blurred over 2 pixels: thresholds that know it beat white ones of the same level."""
    import torch.nn.functional as F

    from unnoise.restore.classical_dct import dct_matrix

    white = torch.randn(1, 1, 129, 129, generator=torch.Generator().manual_seed(4))
    y = camera + 0.1 * F.avg_pool2d(white, 2, 1) * 2
    d = dct_matrix(8)
    toeplitz = torch.eye(8) + 0.5 * (torch.eye(8).roll(1, 1).triu() + torch.eye(8).roll(-1, 1).tril())
    line = (d @ toeplitz @ d.T).diagonal()
    spectrum = torch.outer(line, line).flatten()[None].sqrt()
    knowing = METHODS["dct"].create(spectrum=spectrum)(y, 0.1)
    assert psnr(knowing, camera) > psnr(METHODS["dct"].create()(y, 0.1), camera) + 1


@pytest.mark.parametrize(
    ("name", "options"),
    [("dct", {"step": 9}), ("nlm", {"h": 0}), ("tv", {"iterations": 0}), ("wavelet", {"wavelet": "haar2"}),
     ("median", {"size": 4}), ("bilateral", {"spatial": float("nan")}), ("nlm", {"patch_size": 2.5})],
)  # fmt: skip
def test_bad_options_are_one_sentence(name, options):
    with pytest.raises(InputError, match=next(iter(options)) if name != "dct" else "step"):
        METHODS[name].create(**options)


def test_an_unknown_option_suggests_the_nearest():
    with pytest.raises(InputError, match="did you mean 'patch_size'"):
        METHODS["nlm"].create(patchsize=3)


@pytest.mark.parametrize("name", AWARE)
def test_the_level_is_needed(name):
    with pytest.raises(InputError, match="needs the noise level"):
        METHODS[name].create()(torch.rand(1, 1, 16, 16))
