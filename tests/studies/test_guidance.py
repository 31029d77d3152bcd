"""The studies of guidance and of the engine at their smallest: checks hold, claims and figures are all there."""

from io import BytesIO

import pytest
from PIL import Image

from unnoise.errors import InputError
from unnoise.studies.adaptive_guidance import run
from unnoise.studies.diffusion_core import order, sliced_wasserstein
from unnoise.studies.diffusion_core import run as run_engine
from unnoise.training.presets import read_presets


@pytest.mark.slow
def test_the_smoke_preset_of_guidance_passes_its_checks_and_is_drawn():
    report = run("smoke")
    assert report.checks_passed, [check for check in report.checks if not check.passed]
    assert len(report.claims) == 14 and len(report.tables) == 5  # two more claims with a judge, which needs MNIST
    assert [row[1] for row in report.tables[0].rows if row[0] in ("full guidance", "conditional alone")] == [12.0, 6.0]
    assert [Image.open(BytesIO(f.data)).width > 600 for f in report.figures] == [True, True]


def test_the_smoke_preset_of_the_engine_passes_its_checks_and_is_drawn():
    report = run_engine("smoke")
    assert report.checks_passed, [check for check in report.checks if not check.passed]
    assert report.claims == ()
    assert [Image.open(BytesIO(f.data)).width > 400 for f in report.figures] == [True, True]


def test_presets_ask_for_what_the_paper_says():
    for name, preset in read_presets("adaptive_guidance").items():
        assert preset["claims"]["early_over_late"] == {"at_most": 0.6}, name
        assert preset["search_claims"]["early"] == {"at_least": 0.85}
    assert read_presets("diffusion_core")["laptop"]["bounds"] == {"order": 0.15, "moments": 0.02}
    with pytest.raises(InputError, match="unknown preset"):
        run("larger")


def test_order_and_distance_in_closed_form():
    import torch

    class Counts:
        counts, fitted_from = (8, 16, 32, 64), 16

    assert order(Counts, [9.0, 1.0, 0.25, 0.0625]) == pytest.approx(2.0)
    x = torch.randn(500, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert sliced_wasserstein(x, x.flip(0), 10) == pytest.approx(0.0, abs=1e-12)
    shifted = sliced_wasserstein(x, x + torch.tensor([1.0, 0.0, 0.0]), 4000)
    assert shifted == pytest.approx((1 / 3) ** 0.5, rel=0.03)  # mean square of a direction's entry
