"""Who says which digit a generated picture shows: a small classifier, measured on real digits that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unnoise.data.digits import load_digits
from unnoise.noise.seeds import generator

STEPS, BATCH = 1000, 128


@dataclass(frozen=True)
class Judge:
    """A classifier of 28 x 28 pictures, and its accuracy on the 3,000 test digits of MNIST."""

    net: nn.Module
    accuracy: float

    @torch.inference_mode()
    def right(self, x: Tensor, labels: Tensor) -> Tensor:
        """1 for each picture (n, 1, 28, 28) in [0, 1] that shows its label, else 0, float64."""
        found = torch.cat([self.net(part.clamp(0, 1)).argmax(1) for part in x.split(500)])
        return (found == labels).double()


def judge(steps: int = STEPS) -> Judge:
    """Train the classifier on MNIST's training digits, some seconds; raises `MissingData` without MNIST."""
    images, labels = load_digits("mnist-train")
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.PixelUnshuffle(2),
        nn.Conv2d(4, 24, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(24, 48, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(48 * 49, 10),
    )
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for k in range(steps):
        rows = torch.randint(len(images), (BATCH,), generator=generator(0, k))
        loss = nn.functional.cross_entropy(net(images[rows].float() / 255), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    images, labels = load_digits("mnist-test")
    held = Judge(net.eval(), 0.0).right(images.float() / 255, labels)
    return Judge(net, float(held.mean()))
