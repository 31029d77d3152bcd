import csv
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from unnoise.errors import InputError, UnnoiseError
from unnoise.training.checkpoint import read_state


def rows(out):
    with (out / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def curve(out):
    return [(row["step"], row["loss"], row["lr"]) for row in rows(out)]


def same_checkpoint(a, b, tolerance=0.0):
    a, b = (load_file(out / "checkpoint.safetensors") for out in (a, b))
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=tolerance)


def test_a_resumed_run_equals_one_that_never_stopped_bit_for_bit(toy, tmp_path):
    toy(tmp_path / "whole", 20)

    def stop(p):
        if p.step == 12:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt, match="step 12"):
        toy(tmp_path / "parts", 20, progress=stop)
    assert read_state(tmp_path / "parts/checkpoint.safetensors")["step"] == 12
    fitted = toy(tmp_path / "parts", 20, resume=True)
    assert fitted.finished and fitted.step == 20
    same_checkpoint(tmp_path / "whole", tmp_path / "parts")
    assert curve(tmp_path / "whole") == curve(tmp_path / "parts")


def test_ctrl_c_restores_the_handlers_and_a_second_one_stops_at_once(toy, tmp_path):
    before = signal.getsignal(signal.SIGINT)

    def twice(p):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as stop:
        toy(tmp_path, 5, progress=twice)
    assert not stop.value.args and signal.getsignal(signal.SIGINT) is before


def test_kill_9_loses_at_most_the_steps_since_the_last_checkpoint(toy, toy_script, tmp_path):
    out = tmp_path / "killed"
    run = [sys.executable, str(toy_script), str(out), "60", "0.02"]
    process = subprocess.Popen(run, env=os.environ | {"OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 60
    while not (out / "checkpoint.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    step = read_state(out / "checkpoint.safetensors")["step"]
    assert 0 < step < 60
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        toy(out, 60, resume=True, precision="32-true")
        toy(tmp_path / "whole", 60, precision="32-true")
    finally:
        torch.set_num_threads(threads)
    same_checkpoint(tmp_path / "whole", out)
    assert curve(tmp_path / "whole") == curve(out)


@pytest.mark.slow
def test_two_gloo_processes_give_the_curve_of_one(toy_script, tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    one, two = tmp_path / "one", tmp_path / "two"
    subprocess.run([sys.executable, toy_script, one, "30", "0"], check=True, env=environment)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    subprocess.run([*launch, toy_script, two, "30", "0"], check=True, env=environment, timeout=300)
    same_checkpoint(one, two, tolerance=2e-6)
    for (k, loss, _), (k2, loss2, _) in zip(curve(one), curve(two), strict=True):
        assert k == k2 and float(loss) == pytest.approx(float(loss2), rel=1e-4)


def test_max_minutes_stops_saved_and_resumable(toy, tmp_path):
    fitted = toy(tmp_path, 10, max_minutes=1e-9)
    assert not fitted.finished and fitted.step == 1
    seconds = fitted.seconds
    fitted = toy(tmp_path, 10, resume=True)
    assert fitted.finished and fitted.seconds > seconds


def test_an_earlier_run_is_not_overwritten(toy, tmp_path):
    toy(tmp_path, 2)
    with pytest.raises(InputError, match="--resume"):
        toy(tmp_path, 2)


def test_a_decay_can_start_from_the_checkpoint_of_another_run(toy, tmp_path):
    toy(tmp_path / "main", 10, decay=0)
    fitted = toy(tmp_path / "anneal", 16, decay=6, resume=tmp_path / "main/checkpoint.safetensors")
    assert fitted.finished
    assert [float(row["lr"]) for row in rows(tmp_path / "anneal")] == pytest.approx([2.5e-3, 6.7e-4], rel=1e-2)
    assert read_state(tmp_path / "main/checkpoint.safetensors")["step"] == 10


def test_evaluation_sees_the_averaged_weights_and_is_logged(toy, tmp_path):
    seen = []

    def evaluate(net):
        seen.append(net[0].weight.clone())
        return {"psnr": 1.5}

    fitted = toy(tmp_path, 20, evaluate=evaluate)
    assert torch.equal(seen[-1], fitted.net[0].weight)
    assert [row["psnr"] for row in rows(tmp_path)] == ["", "1.5", "", "1.5"]
    assert [row["step"] for row in rows(tmp_path)] == ["5", "10", "15", "20"]


def test_the_average_is_the_recursion_it_says(toy, tmp_path):
    weights = []
    net = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, bias=False))
    start = net[0].weight.detach().clone()
    fitted = toy(
        tmp_path,
        6,
        net=net,
        ema=0.5,
        precision="32-true",
        progress=lambda p: weights.append(net[0].weight.detach().clone()),
    )
    mean = start
    for k, w in enumerate(weights):
        d = min(0.5, (1 + k) / (10 + k))
        mean = d * mean + (1 - d) * w
    torch.testing.assert_close(fitted.net[0].weight, mean)


def test_a_loss_that_is_not_finite_stops_with_advice_and_keeps_the_checkpoint(toy, tmp_path):
    toy(tmp_path, 2)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()

    def bad(k):
        return {"x": torch.full((4, 1, 8, 8), float("nan")), "y": torch.zeros(4, 1, 8, 8)}

    with pytest.raises(UnnoiseError, match=r"step 3.*fit\.lr"):
        toy(tmp_path, 4, resume=True, batch_at=bad)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"text, not tensors", None])
def test_no_checkpoint_or_a_damaged_one_is_named(toy, tmp_path, content):
    if content is not None:
        (tmp_path / "checkpoint.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="checkpoint"):
        toy(tmp_path, 4, resume=True)


def test_a_checkpoint_of_another_network_is_refused(toy, tmp_path):
    toy(tmp_path, 2)
    with pytest.raises(InputError, match="another network"):
        toy(tmp_path, 4, resume=True, net=nn.Sequential(nn.Conv2d(1, 1, 5, padding=2)))
