import pytest

TOY = '''
"""A training small enough to compare bit by bit: python toy.py OUT STEPS BATCH_SLEEP [--resume]."""
import sys
import time
from pathlib import Path

import torch
from torch import nn

from unnoise.noise.seeds import generator
from unnoise.training.loop import fit
from unnoise.training.options import FitOptions


def toy(out, steps, resume=False, sleep=0.0, evaluate=None, progress=None, batch_at=None, net=None, **options):
    torch.manual_seed(0)
    net = net or nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 1, 3, padding=1))

    def batch(k):
        time.sleep(sleep)
        x = torch.randn(4, 1, 8, 8, generator=generator(0, k))
        return {"x": x, "y": x.abs()}

    def loss_of(net, b):
        return (net(b["x"]) - b["y"]).square().mean()

    settings = {"steps": steps, "batch": 4, "lr": 1e-2, "warmup": min(3, steps)}
    settings |= {"log_every": 5, "evaluate_every": 10} | options
    fit_options = FitOptions(**settings)
    return fit(net, loss_of, batch_at or batch, Path(out), fit_options,
               resume=resume, evaluate=evaluate, progress=progress, config={"toy": True})


if __name__ == "__main__":
    torch.set_num_threads(1)
    precision = "32-true"
    toy(sys.argv[1], int(sys.argv[2]), "--resume" in sys.argv, float(sys.argv[3]), precision=precision,
        save_minutes=0.0005)
'''


@pytest.fixture(scope="session")
def toy_script(tmp_path_factory):
    path = tmp_path_factory.mktemp("toy") / "toy.py"
    path.write_text(TOY)
    return path


@pytest.fixture(scope="session")
def toy(toy_script):
    namespace = {"__name__": "toy"}
    exec(compile(toy_script.read_text(), str(toy_script), "exec"), namespace)
    return namespace["toy"]
