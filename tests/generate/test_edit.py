"""Guidance by a picture and a text: the formula, what it costs, and when it stops."""

import pytest
import torch

from unnoise.denoiser import Card, Denoiser, GaussianMixture
from unnoise.errors import InputError
from unnoise.generate.edit import EditGuided
from unnoise.generate.sample import sample
from unnoise.generate.samplers import euler
from unnoise.noise.grids import karras
from unnoise.noise.seeds import generator

T = 10
GRID = karras(T, 0.05, 10.0)


class Editing(Denoiser):
    """Eight blobs; the picture (B, 1) chooses four of them by its sign, the text (B,) half of those."""

    card = Card(kind="any", value_range=None, sigma_range=(0.0, 1e9), conditions=("image", "text"))

    def __init__(self):
        super().__init__()
        means = torch.randn(8, 5, generator=generator(0), dtype=torch.float64)
        image, text = torch.arange(8) // 4, torch.arange(8) // 2 % 2
        self.parts = {
            (i, t): GaussianMixture(torch.ones(8), means, 0.3, labels=kept.long())
            for i in (None, 0, 1)
            for t in (None, 0, 1)
            for kept in [(image == i if i is not None else image >= 0) & (text == t if t is not None else text >= 0)]
        }

    def forward(self, y, sigma=None, image=None, text=None):
        rows = []
        for n in range(len(y)):
            key = (None if image is None else int(image[n, 0] > 0), None if text is None else int(text[n]))
            rows.append(self.parts[key](y[n : n + 1], sigma, label=torch.ones(1, dtype=torch.long)))
        return torch.cat(rows)


@pytest.fixture(scope="module")
def editing():
    return Editing()


def given(n=8):
    sign = torch.where(torch.arange(n) % 2 == 0, -1.0, 1.0)
    return {"image": sign[:, None], "text": torch.arange(n) // 2 % 2}


def noise(n=8):
    return 10 * torch.randn(n, 5, generator=generator(1), dtype=torch.float64)


def test_the_formula_and_its_ends(editing):
    x, c = noise(), given()
    both, picture, none = editing(x, 2.0, **c), editing(x, 2.0, image=c["image"]), editing(x, 2.0)
    expected = none + 1.5 * (picture - none) + 7 * (both - picture)
    torch.testing.assert_close(EditGuided(editing, 1.5, 7.0)(x, 2.0, **c), expected)
    torch.testing.assert_close(EditGuided(editing, 1.0, 1.0)(x, 2.0, **c), both)


def test_three_evaluations_while_guided_and_one_after(editing):
    drawn = sample(EditGuided(editing, 1.5, 4.0), x_T=noise(), sampler="euler", sigmas=GRID, **given())
    assert drawn.nfe.tolist() == [3 * T] * 8
    half = sample(EditGuided(editing, 1.5, 4.0, until=T // 2), x_T=noise(), sampler="euler", sigmas=GRID, **given())
    assert half.nfe.tolist() == [3 * (T // 2) + T // 2] * 8  # a third less, as the paper has it
    assert half.trace.switched_at.tolist() == [T // 2] * 8
    assert bool(half.trace.gamma[T // 2 :].isnan().all()) and not bool(half.trace.gamma[: T // 2].isnan().any())


def test_each_sample_stops_alone(editing):
    guided = EditGuided(editing, 1.5, 4.0, gamma_bar=0.98)
    drawn = sample(guided, x_T=noise(), sampler="euler", sigmas=GRID, **given())
    at = drawn.trace.switched_at
    assert len(set(at.tolist())) > 1
    assert torch.equal(drawn.nfe, T + 2 * torch.where(at < 0, T, at))
    alone = [euler(guided, noise()[i : i + 1], GRID, **{k: v[i : i + 1] for k, v in given().items()}) for i in range(8)]
    torch.testing.assert_close(torch.cat(alone), drawn.x, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda d: EditGuided(d, 1.5, 7.0, image="picture"), "picture"),
        (lambda d: EditGuided(d, float("inf"), 7.0), "finite"),
        (lambda d: EditGuided(d, 1.5, 7.0, until=0), "until"),
        (lambda d: EditGuided(d, 1.5, 7.0, space="esp"), "did you mean 'eps'"),
        (lambda d: EditGuided(d, 1.5, 7.0)(noise(), 1.0, text=torch.zeros(8)), "both conditions"),
    ],
)
def test_bad_input_is_one_sentence(editing, make, says):
    with pytest.raises(InputError, match=says) as caught:
        make(editing)
    assert "\n" not in str(caught.value)
