"""Guidance on exact conditional mixtures: what costs what, and what equals what."""

import pytest
import torch

from unnoise.denoiser import Card, Denoiser, Empirical, GaussianMixture, as_denoiser
from unnoise.errors import InputError
from unnoise.generate.adaptive_guidance import Adaptive, LinearAG, fit_linear, least_squares
from unnoise.generate.guidance import Guided, Interval, Table, alternating, cosine, cost, first, last
from unnoise.generate.policy_search import Relaxed, search_policy
from unnoise.generate.sample import sample
from unnoise.generate.samplers import dpmpp_2m, euler
from unnoise.noise.grids import karras
from unnoise.noise.schedule import EDM, Flow
from unnoise.noise.seeds import generator

T = 12
GRID = karras(T, 0.05, 10.0)


@pytest.fixture(scope="module")
def classes():
    """Three classes of two blobs each in six dimensions."""
    g = generator(0)
    means = 1.2 * torch.randn(6, 6, generator=g, dtype=torch.float64)
    std = 0.2 + 0.15 * torch.rand(6, generator=g, dtype=torch.float64)
    return GaussianMixture(torch.ones(6), means, std, labels=[0, 0, 1, 1, 2, 2])


def batch(n=9, seed=1):
    x = 10 * torch.randn(n, 6, generator=generator(seed), dtype=torch.float64)
    return x, torch.arange(n) % 3


def run(guided, sampler=dpmpp_2m, n=9):
    x, label = batch(n)
    trajectory = guided.trajectory()
    return sampler(trajectory, x, GRID, label=label), trajectory.trace()


def test_the_formula_and_its_ends(classes):
    x, label = batch()
    c, u = classes(x, 2.0, label=label), classes(x, 2.0)
    torch.testing.assert_close(Guided(classes, 3.0)(x, 2.0, label=label), u + 3 * (c - u))
    assert torch.equal(Guided(classes, 1.0)(x, 2.0, label=label), c)
    torch.testing.assert_close(Guided(classes, 0.0)(x, 2.0, label=label), u)


@pytest.mark.parametrize("policy", [None, Adaptive(0.9), Adaptive(2.0), Interval(0.1, 1.0)])
def test_scale_one_is_conditional_at_full_speed_under_any_policy(classes, policy):
    x, label = batch()
    guided, trace = run(Guided(classes, 1.0, policy))
    assert torch.equal(guided, dpmpp_2m(classes, x, GRID, label=label))
    assert trace.nfe.tolist() == [T] * 9


def test_guidance_commutes_with_the_parameterisation(classes):
    class Eps(torch.nn.Module):
        def forward(self, x_t, t, label=None):
            sigma = Flow().sigma(t)[:, None]
            y = x_t * (1 + sigma)
            return (y - classes(y, sigma[:, 0], label=label)) / sigma

    d = as_denoiser(Eps(), "eps", Flow(), signed=False, card=classes.card, null={"label": -1})
    x, label = batch()
    torch.testing.assert_close(Guided(d, 3.0)(x, 2.0, label=label), Guided(classes, 3.0)(x, 2.0, label=label))


def test_an_unreachable_threshold_is_plain_guidance_bit_for_bit(classes):
    full, full_trace = run(Guided(classes, 3.0))
    adaptive, trace = run(Guided(classes, 3.0, Adaptive(1.1)))
    assert torch.equal(full, adaptive)
    assert trace.nfe.tolist() == full_trace.nfe.tolist() == [2 * T] * 9
    assert trace.switched_at.tolist() == [-1] * 9


def test_a_threshold_of_minus_one_guides_once(classes):
    x, label = batch()
    adaptive, trace = run(Guided(classes, 3.0, Adaptive(-1.0)))
    assert trace.nfe.tolist() == [T + 1] * 9
    torch.testing.assert_close(adaptive, dpmpp_2m(Guided(classes, 3.0, first(1, T)), x, GRID, label=label))
    now, _ = run(Guided(classes, 3.0, Adaptive(-1.0, switch="now")))
    torch.testing.assert_close(now, dpmpp_2m(classes, x, GRID, label=label))
    _, trace = run(Guided(classes, 3.0, Adaptive(-1.0, min_steps=3)))
    assert trace.switched_at.tolist() == [3] * 9


def test_each_sample_switches_alone_and_is_charged_for_what_was_run(classes):
    rows = []

    class Counting(Denoiser):
        card, null = classes.card, classes.null

        def forward(self, y, sigma=None, **conditions):
            rows.append(len(y))
            return classes(y, sigma, **conditions)

    x, label = batch(24)
    guided = Guided(Counting(), 3.0, Adaptive(0.95))
    trajectory = guided.trajectory()
    together = dpmpp_2m(trajectory, x, GRID, label=label)
    trace = trajectory.trace()
    k = trace.switched_at
    assert len(set(k.tolist())) > 2  # the samples differ
    guided_steps = torch.where(k < 0, T, k)
    assert torch.equal(trace.nfe, T + guided_steps)
    assert sum(rows) == int(trace.nfe.sum())
    alone = [dpmpp_2m(guided, x[i : i + 1], GRID, label=label[i : i + 1]) for i in range(24)]
    torch.testing.assert_close(torch.cat(alone), together, rtol=1e-6, atol=1e-6)
    # a second run of the same object is guided again
    torch.testing.assert_close(dpmpp_2m(guided, x, GRID, label=label), together)


def test_in_x0_the_cosine_rises_and_in_eps_the_rule_would_stop_at_once(classes):
    x, label = batch(48)
    trajectory = Guided(classes, 3.0).trajectory()
    dpmpp_2m(trajectory, x, GRID, label=label)
    gamma = trajectory.trace().gamma.mean(1)
    assert gamma[0] < 0.95
    assert gamma[-1] > 0.99
    with pytest.warns(UserWarning, match="space='x0'"):
        trajectory = Guided(classes, 3.0, Adaptive(0.991, space="eps")).trajectory()
        dpmpp_2m(trajectory, 8 * x[:9], karras(T, 0.05, 80.0), label=label[:9])
    trace = trajectory.trace()
    assert trace.switched_at.tolist() == [1] * 9


def test_equal_estimates_stop_guidance_after_the_first_step():
    class Same(Denoiser):
        card = Card(kind="any", value_range=None, sigma_range=(0.0, 1e9), conditions=("label",))

        def forward(self, y, sigma=None, label=None):
            return y / (1 + sigma**2)

    guided, trace = run(Guided(Same(), 5.0, Adaptive()))
    x, _ = batch()
    assert trace.nfe.tolist() == [T + 1] * 9
    assert bool((trace.gamma[0] > 1 - 1e-12).all())
    assert torch.equal(guided, dpmpp_2m(Same(), x, GRID))


def test_two_calls_or_one_batch_give_the_same(classes):
    class Separate(Denoiser):
        card = classes.card  # names no value that means none

        def forward(self, y, sigma=None, **conditions):
            return classes(y, sigma, **conditions)

    for policy in (None, Adaptive(0.95)):
        one, trace = run(Guided(classes, 3.0, policy))
        two, apart = run(Guided(Separate(), 3.0, policy))
        torch.testing.assert_close(one, two)
        assert torch.equal(trace.nfe, apart.nfe)


def test_a_negative_condition_takes_the_place_of_none(classes):
    x, label = batch()
    c, other = classes(x, 2.0, label=label), classes(x, 2.0, label=torch.full((9,), 2))
    expected = other + 3 * (c - other)
    torch.testing.assert_close(Guided(classes, 3.0, negative={"label": 2})(x, 2.0, label=label), expected)
    torch.testing.assert_close(
        Guided(classes, 3.0, negative={"label": torch.tensor([2])})(x, 2.0, label=label), expected
    )


def test_cosines_agree_after_conversion(classes):
    x, label = batch()
    c, u = classes(x, 0.8, label=label), classes(x, 0.8)
    g = Guided(classes, 3.0)
    a, b = 1 / 1.64**0.5, 0.8 / 1.64**0.5

    def expected(convert):
        return torch.nn.functional.cosine_similarity(convert(c), convert(u))

    torch.testing.assert_close(cosine(g, x, 0.8, c, u, "eps"), expected(lambda x0: (x - x0) / 0.8))
    torch.testing.assert_close(cosine(g, x, 0.8, c, u, "v"), expected(lambda x0: a * (x - x0) / 0.8 - b * x0))
    edm = EDM(0.5)
    net = as_denoiser(torch.nn.Identity(), "edm", edm, signed=False, card=classes.card)
    raw = expected(lambda x0: (x0 - 0.25 / 0.89 * x) / (0.8 * 0.5 / 0.89**0.5))
    torch.testing.assert_close(cosine(Guided(net, 2.0), x, 0.8, c, u, "raw"), raw)
    unit = Guided(classes, 2.0)
    unit.card = Card(**{**vars(classes.card), "value_range": (0.0, 1.0)})  # a network sees it on [-1, 1]
    torch.testing.assert_close(cosine(unit, x, 0.8, c, u), expected(lambda x0: 2 * x0 - 1))


def test_tables_cost_what_they_say_and_end_where_they_should(classes):
    for table in (first(4, T), last(4, T), alternating(T), alternating(T, 6), Table(("uncond",) * T)):
        _, trace = run(Guided(classes, 3.0, table))
        assert trace.nfe.tolist() == [cost(table.operations)] * 9
    full, _ = run(Guided(classes, 3.0))
    again, _ = run(Guided(classes, 7.0, Table((3.0,) * T)))
    torch.testing.assert_close(again, full)
    cached, trace = run(Guided(classes, 3.0, Table(("cfg",) + ("cached",) * (T - 1))))
    assert trace.nfe.tolist() == [T + 1] * 9
    conditional, _ = run(Guided(classes, 3.0, first(1, T)))
    assert not torch.allclose(cached, conditional)


def test_interval_guides_inside_only(classes):
    _, trace = run(Guided(classes, 3.0, Interval(0.2, 2.0)))
    inside = int(((GRID[:-1] > 0.2) & (GRID[:-1] <= 2.0)).sum())
    assert trace.nfe.tolist() == [T + inside] * 9


def test_rescaling_restores_the_spread_and_thresholding_the_range():
    points = Empirical(torch.rand(40, 1, 4, 4, generator=generator(0)).double(), labels=torch.arange(40) % 2)
    x = torch.randn(5, 1, 4, 4, generator=generator(1), dtype=torch.float64)
    label = torch.tensor([0, 1, 0, 1, 0])
    c = points(x, 0.5, label=label)
    rescaled = Guided(points, 9.0, rescale=1.0)(x, 0.5, label=label)
    torch.testing.assert_close(rescaled.std((1, 2, 3)), c.std((1, 2, 3)))
    points.card = Card(**{**vars(points.card), "value_range": (0.0, 1.0)})
    clipped = Guided(points, 30.0, threshold=0.9)(x, 0.5, label=label)
    assert clipped.min() >= 0
    assert clipped.max() <= 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_guidance_in_any_precision(dtype):
    class Halved(Denoiser):
        card = Card(kind="any", value_range=(0.0, 1.0), sigma_range=(0.0, 100.0), conditions=("label",))

        def forward(self, y, sigma=None, label=None):
            return 0.5 * y if label is None else 0.5 * y + 0.3 * label.reshape(-1, 1, 1, 1).to(y)

    x, label = torch.rand(3, 1, 4, 4, generator=generator(0)).to(dtype), torch.tensor([0, 1, 1])
    guided = Guided(Halved(), 5.0, Adaptive(0.0), threshold=0.9, rescale=0.5)
    run = guided.trajectory()
    out = euler(run, x, [2.0, 1.0, 0.0], label=label)
    assert out.dtype == dtype and bool(torch.isfinite(out).all())
    assert {row.dtype for row in run.gamma} == {torch.float64}  # also of the steps that measured nothing
    assert bool(run.trace().gamma[1].isnan().all()) and not bool(run.trace().gamma[0].isnan().any())


def test_linear_estimates_are_exact_when_classes_are_balls_of_one_size():
    """Every estimate then lies in the span of x_T and of the three means that matter."""
    means = torch.randn(2, 40, generator=generator(2), dtype=torch.float64)
    balls = GaussianMixture([1.0], means[:1], 0.5)
    other = GaussianMixture([1.0], means[1:], 0.5)

    class Pair(Denoiser):
        card = Card(kind="any", value_range=None, sigma_range=(0.0, 1e9), conditions=("label",))

        def forward(self, y, sigma=None, label=None):
            return other(y, sigma) if label is None else balls(y, sigma)

    x = 10 * torch.randn(30, 40, generator=generator(3), dtype=torch.float64)
    label = torch.zeros(30, dtype=torch.long)
    linear = fit_linear(Pair(), x, GRID, 3.0, ridge=0.0, label=label)
    assert max(linear.residuals[2:]) < 1e-8
    order = torch.randperm(40, generator=generator(4))
    regressors = torch.randn(3, 30, 40, generator=generator(5), dtype=torch.float64)
    b, _ = least_squares(regressors, x)
    permuted, _ = least_squares(regressors[..., order], x[..., order])
    torch.testing.assert_close(b, permuted)


def test_normal_equations_agree_with_lstsq():
    a = torch.randn(5, 300, generator=generator(0), dtype=torch.float64)
    t = torch.randn(300, generator=generator(1), dtype=torch.float64)
    b, residual = least_squares(a, t)
    expected = torch.linalg.lstsq(a.T, t[:, None]).solution[:, 0]
    torch.testing.assert_close(b, expected, rtol=1e-8, atol=1e-8)
    assert residual == pytest.approx(float((t - expected @ a).norm() / t.norm()))


def test_linear_guidance_is_nearer_to_full_guidance_than_alternation_at_the_same_cost(classes, tmp_path):
    x, label = batch(60, seed=7)
    linear = fit_linear(classes, x, GRID, 3.0, sampler="euler", label=label)
    linear.save(tmp_path / "linear.json")
    assert LinearAG.load(tmp_path / "linear.json").coefficients == linear.coefficients
    half = alternating(T, T // 2, "linear", linear)
    fresh, label = batch(60, seed=8)
    full = euler(Guided(classes, 3.0), fresh, GRID, label=label)
    ours = euler(Guided(classes, 3.0, half), fresh, GRID, label=label)
    alternated = euler(Guided(classes, 3.0, alternating(T, T // 2)), fresh, GRID, label=label)
    assert (ours - full).square().mean() < 0.4 * (alternated - full).square().mean()


def test_linear_coefficients_are_refused_beside_a_negative_condition(classes):
    x, label = batch()
    linear = fit_linear(classes, x, GRID, 3.0, label=label)
    guided = Guided(classes, 3.0, alternating(T, None, "linear", linear), negative={"label": 0})
    with pytest.raises(InputError, match="negative"):
        dpmpp_2m(guided, x, GRID, label=label)


@pytest.mark.parametrize("never", [Adaptive(1.1, "eps"), Adaptive(0.99, "eps", min_steps=3)])
def test_no_warning_where_guidance_does_not_stop_at_once(classes, never, recwarn):
    x, label = batch()
    trajectory = Guided(classes, 3.0, never).trajectory()
    dpmpp_2m(trajectory, 8 * x, karras(T, 0.05, 80.0), label=label)
    trace = trajectory.trace()
    assert trace.gamma[0].min() > 0.999 and (trace.switched_at != 1).all()
    assert not [w for w in recwarn if issubclass(w.category, UserWarning)]


@pytest.mark.parametrize("ends", [(5.0, 1.0), (1.0, 1.0), (float("nan"), 1.0)])
def test_an_interval_without_levels_is_refused(ends):
    with pytest.raises(InputError, match="low < high"):
        Interval(*ends)


def test_linear_coefficients_are_refused_elsewhere(classes, tmp_path):
    x, label = batch()
    linear = fit_linear(classes, x, GRID, 3.0, sampler="euler", label=label)
    table = alternating(T, other="linear", linear=linear)
    with pytest.raises(InputError, match="noise levels"):
        euler(Guided(classes, 3.0, table), x, karras(T, 0.04, 10.0), label=label)
    with pytest.raises(InputError, match="scale"):
        euler(Guided(classes, 4.0, table), x, GRID, label=label)
    with pytest.raises(InputError, match="sampler"):
        sample(Guided(classes, 3.0, table), x_T=x, sampler="dpmpp_2m", sigmas=GRID, label=label)
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(InputError, match="fit"):
        LinearAG.load(tmp_path / "bad.json")


def test_the_search_with_one_hot_weights_is_the_discrete_policy(classes):
    x, label = batch()
    operations = ("cfg", "uncond", "cond", "cfg", 5.0, "cond", "cfg", "cond", "uncond", "cfg", 5.0, "cond")
    index = {"uncond": 0, "cond": 1, "cfg": 2, 5.0: 3}
    alpha = torch.full((T, 4), -1e9, dtype=torch.float64)
    for i, operation in enumerate(operations):
        alpha[i, index[operation]] = 0
    relaxed = euler(Relaxed(classes, (3.0, 5.0), alpha), x, GRID, label=label)
    torch.testing.assert_close(relaxed, euler(Guided(classes, 3.0, Table(operations)), x, GRID, label=label))


def test_the_search_guides_early_and_not_late(classes):
    def draw(k):
        x, label = batch(32, seed=100 + k)
        return 1.2 * x, label_of(label)

    def label_of(label):
        return {"label": label}

    found = search_policy(classes, draw, karras(8, 0.05, 12.0), 3.0, weight=0.003, iterations=60, lr=0.1)
    guided = found.weights[:, 2]
    assert guided[:4].mean() > 0.8
    assert guided[-3:].mean() < 0.3
    assert found.nfe < 0.85 * 16
    assert found.mse < 0.01
    assert cost(found.table.operations) < 16


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda d: Guided(GaussianMixture([1.0], [[0.0]], 1.0), 2.0), "unconditional"),
        (lambda d: Guided(d, float("nan")), "finite"),
        (lambda d: Guided(d, 2.0, negative={"prompt": 1}), "prompt"),
        (lambda d: Guided(d, 2.0, rescale=2.0), "rescale"),
        (lambda d: Guided(d, 2.0)(torch.zeros(1, 6), 1.0), "condition"),
        (lambda d: Adaptive(float("nan")), "gamma_bar"),
        (lambda d: Adaptive(space="esp"), "did you mean 'eps'"),
        (lambda d: Adaptive(min_steps=0), "min_steps"),
        (lambda d: Table(("cgf",)), "did you mean 'cfg'"),
        (lambda d: Table(("linear",)), "coefficients"),
        (lambda d: euler(Guided(d, 2.0, first(2, 3)), torch.zeros(1, 6), GRID, label=torch.zeros(1)), "evaluations"),
        (lambda d: search_policy(d, batch, GRID, 2.0, weight=0.1, sampler="heun"), "Heun"),
        (lambda d: search_policy(d, batch, GRID, 2.0, weight=-1), "negative"),
    ],
)
def test_bad_input_is_one_sentence(classes, make, says):
    with pytest.raises(InputError, match=says) as caught:
        make(classes)
    assert "\n" not in str(caught.value)


def test_a_used_trajectory_is_refused(classes):
    x, label = batch()
    trajectory = Guided(classes, 3.0, Adaptive()).trajectory()
    euler(trajectory, x, GRID, label=label)
    with pytest.raises(InputError, match="already"):
        euler(trajectory, x, GRID, label=label)


def test_gradients_pass_through_linear_guidance(classes):
    x, label = batch()
    linear = fit_linear(classes, x, GRID, 3.0, sampler="euler", label=label)
    table = alternating(T, T // 2, "linear", linear)

    def drawn(start):
        return euler(Guided(classes, 3.0, table), start, GRID, label=label).sum()

    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(drawn(leaf), leaf)
    direction = torch.randn(x.shape, generator=generator(4), dtype=torch.float64)
    step = 1e-6 * direction
    measured = (drawn(x + step) - drawn(x - step)) / 2e-6
    torch.testing.assert_close((slope * direction).sum(), measured, rtol=1e-5, atol=1e-6)
