import pytest
import torch

from unnoise.noise.schedule import DiscreteVP, Flow


@pytest.mark.parametrize(
    ("schedule", "alpha_bar", "sigma_max", "sigma_min"),
    [
        (DiscreteVP.linear(), [0.9999, 0.524085, 0.0785872, 0.00335055, 4.03583e-5], 157.4073, 0.0100),
        (DiscreteVP.scaled_linear(), [0.99915, 0.675432, 0.27767, 0.0566235, 0.0046601], 14.6146, 0.029167),
        (DiscreteVP.cosine(), [0.999959, 0.847012, 0.493844, 0.144272, 2.42874e-9], 20291.3, 0.006425),
    ],
)
def test_published_tables(schedule, alpha_bar, sigma_max, sigma_min):
    at = torch.tensor([0, 249, 499, 749, 999])
    torch.testing.assert_close(schedule.alpha_bar[at], torch.tensor(alpha_bar, dtype=torch.float64), rtol=2e-5, atol=0)
    assert schedule.sigmas[-1].item() == pytest.approx(sigma_max, rel=1e-5)
    assert schedule.sigmas[0].item() == pytest.approx(sigma_min, rel=1e-3)


@pytest.mark.parametrize("schedule", [DiscreteVP.linear(), DiscreteVP.cosine()])
def test_time_of_a_table_level_is_its_step(schedule):
    k = torch.tensor([0, 1, 500, 999])
    torch.testing.assert_close(schedule.t(schedule.sigmas[k]), k.double(), rtol=0, atol=1e-9)
    assert schedule.t(torch.tensor(0.0)) == 0
    assert schedule.t(torch.tensor(1e9)) == 999


def test_alpha_and_sigma_restore_the_process():
    vp = DiscreteVP.linear()
    torch.testing.assert_close(vp.alpha(vp.sigmas) ** 2, vp.alpha_bar)
    sigma = torch.logspace(-3, 3, 50, dtype=torch.float64)
    t = Flow().t(sigma)
    torch.testing.assert_close(Flow().alpha(sigma), 1 - t)
    torch.testing.assert_close(t / (1 - t), sigma)
