"""Learning the score by gradient descent on a wide two-layer network, beside the kernel regression that it follows.

Han, Razaviyayn and Xu 2024, "Neural network-based score estimation in diffusion models: optimization and
generalization" (2401.15604). The network learns `f(t, x) = E[X_0 | X_t = x]`; the score is `(alpha f - x) / h`.
"""

from unnoise.explain.score_estimation.kernel import KernelScoreRegressor, kappa
from unnoise.explain.score_estimation.network import NTKScoreRegressor
from unnoise.explain.score_estimation.samples import Samples, draw_samples, process
from unnoise.explain.score_estimation.stopping import evolved, stop_rwy
from unnoise.explain.score_estimation.terms import Coupling, ErrorTerms, coupling, error_terms

__all__ = [
    "Coupling",
    "ErrorTerms",
    "KernelScoreRegressor",
    "NTKScoreRegressor",
    "Samples",
    "coupling",
    "draw_samples",
    "error_terms",
    "evolved",
    "kappa",
    "process",
    "stop_rwy",
]
