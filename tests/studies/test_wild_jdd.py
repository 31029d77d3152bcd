"""The study of Wild-JDD at its smallest, and what it measures with."""

import pytest
import torch

from unnoise.noise.demosaick import mosaic
from unnoise.noise.seeds import generator
from unnoise.restore.wild_jdd import JDDOutput
from unnoise.restore.wild_jdd_training import JDDPreset
from unnoise.studies.wild_jdd import OUTPUTS, edge_psnr, edges, noise_map, photons, pulls, run
from unnoise.training.presets import load_preset


def test_the_smoke_preset_passes_its_checks():
    report = run("smoke")
    assert report.checks_passed, [check for check in report.checks if not check.passed]
    assert [row[0] for row in report.tables[0].rows] == ["bilinear", *OUTPUTS]
    assert [claim.name for claim in report.claims] == list(load_preset(JDDPreset, "wild_jdd", "smoke").study.claims)


def test_a_true_noise_map_correlates_fully_and_explains_the_noise():
    pictures = [torch.full((1, 3, 128, 128), 0.5)]

    def oracle(raw):
        """Knows the picture: the smoothed squared error of every pixel."""
        e = torch.nn.functional.avg_pool2d((raw - mosaic(pictures[0])).square(), 17, 1, 8, count_include_pad=False)
        e = e.expand(1, 3, -1, -1)
        return JDDOutput(e, torch.ones_like(e), torch.full_like(e, 2.0), e)

    correlation, calibration = noise_map(oracle, pictures, 20, 0)
    assert correlation > 0.95 and calibration == pytest.approx(1.0, abs=0.1)


def test_photons_have_a_variance_that_goes_with_the_value():
    x = torch.full((1, 3, 200, 200), 0.25)
    assert float((photons(x, 0.02, 0) - 0.25).var()) == pytest.approx(0.005, rel=0.05)


def test_errors_on_edges_count_at_edges_alone():
    x = torch.zeros(1, 3, 64, 64)
    x[..., 32:] = 0.5
    x += 0.01 * torch.rand(x.shape, generator=generator(0))
    off = x.clone()
    off[..., 12:20] += 0.1  # flat
    blurred = x.clone()
    blurred[..., 31:33] += 0.1
    assert edge_psnr(off, x) > edge_psnr(blurred, x)


def test_neighbours_draw_a_true_picture_off_at_its_edge_and_recorrupted_mosaics_do_not():
    x = torch.full((1, 3, 64, 64), 0.3)
    x[..., 31:] = 0.5
    x += 0.001 * torch.rand(x.shape, generator=generator(0))
    found = pulls(x, 0.02, 2.0, 0)

    def levels(name, columns):
        return 255 * float(found[name][0, 1, 16:48, columns].mean().clamp(min=0).sqrt())

    beside, anywhere = slice(30, 32), slice(8, 56)
    # of eight neighbours three lie beyond the edge, at the green that is interpolated somewhat more or less
    assert levels("neighbours, no mask", beside) == pytest.approx(3 / 8 * 0.2 * 255, rel=0.25)
    assert 2 < levels("neighbours", beside) < levels("neighbours, no mask", beside)
    assert levels("recorrupted", anywhere) < 3 and bool(edges(x)[0, 16, beside].all())


def test_an_option_that_came_later_does_not_change_the_names_of_kept_networks():
    p = load_preset(JDDPreset, "wild_jdd", "laptop")
    assert "repeat" not in p.data.model_dump()
    counted = p.data.model_copy(update={"repeat": {"clean_train/BSD431": 2}})
    assert counted.model_dump()["repeat"] == {"clean_train/BSD431": 2}
