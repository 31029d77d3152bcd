"""Muon: orthogonal steps for hidden weights, AdamW for the rest."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from unnoise.training.muon import SCALE, Muon, orthogonalised


@pytest.mark.parametrize("shape", [(16, 144), (64, 64), (300, 40)])
def test_singular_values_come_near_one_and_directions_stay(shape):
    g = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, s, v = torch.linalg.svd(g, full_matrices=False)
    turned = u.T @ orthogonalised(g) @ v.T
    assert (turned.diagonal()[s > 0.05 * s[0]] - 1).abs().max() < 0.4
    assert (turned - turned.diagonal().diag()).abs().max() < 0.06


def test_a_convolution_is_a_matrix_of_its_output_channels_in_any_layout():
    after = []
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        conv = nn.Conv2d(16, 32, 3, bias=False).to(memory_format=layout)
        before = conv.weight.detach().clone()
        optimizer = Muon([{"params": [conv.weight], "orthogonal": True}], lr=0.1, weight_decay=0.0)
        conv.weight.grad = torch.randn(32, 16, 3, 3).contiguous(memory_format=layout)
        optimizer.step()
        after.append(conv.weight.detach() - before)
    torch.testing.assert_close(after[0], after[1], atol=0.03 * float(after[0].abs().max()), rtol=0)
    singular = torch.linalg.svdvals(after[0].reshape(32, -1)) / (0.1 * SCALE * 144**0.5)
    assert float(singular.min()) > 0.6 and float(singular.max()) < 1.3


def test_other_groups_are_those_of_adamw():
    results = []
    for kind in (Muon, torch.optim.AdamW):
        torch.manual_seed(0)
        p = nn.Parameter(torch.randn(5, 4))
        optimizer = kind([{"params": [p]}], lr=0.01, weight_decay=0.1)
        for _ in range(3):
            p.grad = torch.randn(5, 4)
            optimizer.step()
        results.append(p.detach())
    assert torch.equal(*results)


def test_a_resumed_run_equals_one_that_never_stopped(toy, tmp_path):
    toy(tmp_path / "whole", 8, net=_deep(), optimizer="muon")
    toy(tmp_path / "parts", 8, net=_deep(), optimizer="muon", max_minutes=1e-9)
    toy(tmp_path / "parts", 8, net=_deep(), optimizer="muon", resume=True)
    whole, parts = ((tmp_path / x / "checkpoint.safetensors").read_bytes() for x in ("whole", "parts"))
    assert len(whole) == len(parts)
    from safetensors.torch import load

    a, b = load(whole), load(parts)
    assert any("momentum" in name for name in a)
    assert all(torch.equal(a[name], b[name]) for name in a)


def _deep():
    torch.manual_seed(0)
    sizes = [1, 8, 8, 1]
    return nn.Sequential(*(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(sizes)))
