"""Muon: steps of equal length in every direction of a weight matrix, for convolutions and linear layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW

SCALE = 0.2  # root mean square of a step of AdamW, so that both kinds of weights share one learning rate


class Muon(AdamW):
    """Momentum, orthogonalised, for groups with `orthogonal=True`; AdamW for all others.

    The momentum of a weight `(out, in, ...)`, seen as a matrix of `out` rows, is replaced by the nearest matrix of
    orthonormal rows or columns, times `0.2 sqrt(max(rows, columns))`. Sources: Jordan et al. 2024, "Muon: an optimizer
    for hidden layers in neural networks"; Liu et al. 2025, "Muon is scalable for LLM training", equation 4 (the scale).
    torch's own takes matrices only, not convolutions.

    Parameters
    ----------
    params : parameter groups; options as for AdamW. Best keep first and last layers out of `orthogonal` groups.
    momentum : share of the past in the momentum, which is Nesterov's.
    """

    def __init__(self, params: list[dict[str, Any]], momentum: float = 0.95, **adamw: Any) -> None:
        super().__init__(params, **adamw)
        self.momentum = momentum

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step; gradients of orthogonal groups are consumed."""
        for group in self.param_groups:
            for p in group["params"] if group.get("orthogonal") else ():
                if p.grad is not None:
                    self._turn(p, p.grad, group["lr"], group["weight_decay"])
                    p.grad = None  # AdamW passes over it
        return super().step(closure)

    def _turn(self, p: Tensor, grad: Tensor, lr: float, weight_decay: float) -> None:
        state = self.state[p]
        if not state:  # "step" because AdamW expects it of everything it restores
            state.update(step=torch.zeros(()), momentum=torch.zeros_like(p))
        state["step"] += 1
        mean = state["momentum"].lerp_(grad, 1 - self.momentum)
        # rows stay rows; columns in memory order, for which channels-last weights are not copied
        order = (0, *range(2, p.ndim), 1) if p.ndim > 2 else (0, 1)
        matrix = grad.lerp(mean, self.momentum).permute(order)
        rows, columns = len(matrix), matrix[0].numel()
        turned = orthogonalised(matrix.reshape(rows, columns)).view(matrix.shape)
        p.mul_(1 - lr * weight_decay)
        p.permute(order).add_(turned, alpha=-lr * SCALE * max(rows, columns) ** 0.5)


def orthogonalised(g: Tensor, steps: int = 5) -> Tensor:
    """Roughly `U V^T` of the singular value decomposition `U S V^T` of a matrix: singular values of 0.7 to 1.2.

    Newton-Schulz iteration with the coefficients of Jordan et al. 2024, in bfloat16, which it tolerates.
    """
    x = g.bfloat16().T if g.shape[0] > g.shape[1] else g.bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x.T if g.shape[0] > g.shape[1] else x).to(g.dtype)
