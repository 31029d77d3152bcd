"""The study of harmonic bases at its smallest: its invariants hold, its pieces are what they say."""

import pytest
import torch

from unnoise.errors import InputError, MissingData
from unnoise.explain.harmonic_data import disk
from unnoise.studies.harmonic_bases import run
from unnoise.studies.harmonic_bases.families import GRID, slopes_of, tangent_space, visible_disks
from unnoise.studies.harmonic_bases.nets import Harmonic, Networks, photo_patches
from unnoise.training.presets import load_preset


@pytest.fixture(scope="module")
def smoke():
    return load_preset(Harmonic, "harmonic_bases", "smoke")


@pytest.mark.slow
def test_the_smoke_preset_passes_its_checks():
    report = run("smoke")
    assert report.checks_passed, [check for check in report.checks if not check.passed]
    assert {c.name.split(":")[0] for c in report.claims} >= {"ray", "disks", "C-alpha"}
    assert all(figure.data[8:12] == b"WEBP" for figure in report.figures)


def test_sets_are_of_different_pictures_and_small_ones_are_parts_of_large_ones(smoke):
    data = photo_patches(smoke.patches)
    assert data.first.shape == data.second.shape == (64, 1, 8, 8)
    assert data.first.flatten(1).std(1).min() > smoke.patches.least_std
    few = photo_patches(smoke.patches.model_copy(update={"sizes": (4,)}))
    torch.testing.assert_close(few.first, data.first[:4])
    assert not torch.isclose(data.first[:, None], data.second[None]).flatten(2).all(2).any()
    with pytest.raises(InputError, match="must rise"):
        photo_patches(smoke.patches.model_copy(update={"sizes": (64, 4)}))
    with pytest.raises(InputError, match="lively enough"):
        photo_patches(smoke.patches.model_copy(update={"least_std": 0.45}))


def test_a_network_is_trained_once(smoke, tmp_path):
    x = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    fit = smoke.ray.fit.model_copy(update={"steps": 3})
    one = Networks(tmp_path).get("net", x, smoke.ray.net, fit)
    again = Networks(tmp_path)
    torch.testing.assert_close(again.get("net", x, smoke.ray.net, fit)(x), one(x), rtol=0, atol=0)
    assert len(list(tmp_path.iterdir())) == 1
    again.get("net", x + 0.1, smoke.ray.net, fit)
    assert len(list(tmp_path.iterdir())) == 2  # other pictures, another network
    with pytest.raises(InputError, match="multiples of 2"):
        again.get("odd", x[..., :7, :7], smoke.ray.net, fit)


def test_a_denoiser_that_keeps_the_noise_has_slope_one_and_one_that_halves_its_decibels_a_half(smoke):
    before = torch.tensor([-20 * torch.tensor(s).log10().item() for s in GRID]).expand(5, -1)
    kept, half = torch.stack([before, before]), torch.stack([before, 10 + before / 2])
    value, interval = slopes_of(smoke, [kept])
    assert value == pytest.approx(1)
    assert interval == (pytest.approx(1), pytest.approx(1))
    assert slopes_of(smoke, [half, kept])[0] == pytest.approx(0.5)


def test_disks_that_are_looked_at_can_be_seen_and_their_tangents_are_derivatives(smoke):
    for at in visible_disks(smoke.disks, 9):
        assert float((at[2] - at[3]).abs()) > 0.3
    tangent = tangent_space(at, 16)
    assert torch.linalg.matrix_rank(tangent) == 5
    brighter = disk(at[0], at[1], at[2] + 0.1, at[3], 16) - disk(*at, 16)
    torch.testing.assert_close(0.1 * tangent[:, 3], brighter.flatten().double(), rtol=1e-2, atol=1e-3)


def test_without_its_photographs_it_says_so(monkeypatch):
    monkeypatch.delenv("UNNOISE_DATA", raising=False)
    with pytest.raises(MissingData):
        photo_patches(load_preset(Harmonic, "harmonic_bases", "laptop").patches)


def test_the_paper_preset_is_the_papers_network():
    p = load_preset(Harmonic, "harmonic_bases", "paper")
    from unnoise.explain.harmonic_nets import BFUNet

    torch.manual_seed(0)
    net = BFUNet(1, p.patches.net.width, p.patches.net.blocks)
    assert sum(w.numel() for w in net.parameters()) == 7_659_264
    y = torch.rand(1, 1, p.patches.side, p.patches.side)
    loss = (y - net.train()(y)).square().mean()
    loss.backward()
    assert torch.isfinite(loss)
    assert all(w.grad.abs().max() > 0 for w in net.parameters())
