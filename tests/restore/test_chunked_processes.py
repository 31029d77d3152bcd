"""A cube in pieces beside real processes: one that is killed, a cluster that loses a worker, a bound on memory."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from unnoise.data.cube import Cube, read_cube, write_cube
from unnoise.data.cube_sets import synthetic_cube, with_noise
from unnoise.restore.cubes import restore_cube

pytest.importorskip("distributed", reason="needs the extra 'cluster'")
pytestmark = pytest.mark.slow

PROGRAM = """
import sys, time
import unnoise.data.chunked as blocks
from unnoise.data import manifest
from unnoise.restore import chunked
blocks._SMALLEST, blocks._LARGEST, manifest._EVERY = 1, 6000, 0.0
if "slowly" in sys.argv:
    real = chunked.rebuild
    def slow(*a, **k):
        time.sleep(0.5)
        real(*a, **k)
    chunked.rebuild = slow
chunked.restore_chunked("a.zarr", "b.zarr", "hyres", threads=1, resume="--resume" in sys.argv)
"""


@pytest.fixture
def noisy(tmp_path):
    y = with_noise(synthetic_cube((70, 60, 12)), "noniid")
    write_cube(tmp_path / "a.zarr", Cube(y))
    return y


def same(path, y):
    whole = restore_cube(y, "hyres").image
    assert np.abs(read_cube(path).values - whole).max() < 1e-5 * np.abs(whole - y).max()


def test_a_killed_process_goes_on_where_it_was(tmp_path, noisy):
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, "slowly"], cwd=tmp_path)
    path, written = tmp_path / ".b.zarr.unnoise" / "manifest.json", {}
    until = time.monotonic() + 240
    while len(written) < 2 and time.monotonic() < until and process.poll() is None:
        time.sleep(0.05)
        written = json.loads(path.read_text())["done"].get("write", {}) if path.exists() else {}
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL and len(written) >= 2
    assert not (tmp_path / "b.zarr").exists()
    times = {p: p.stat().st_mtime_ns for p in path.parent.rglob("c/*/*/*") if "result" in str(p)}
    before = json.loads(path.read_text())["done"]["write"]
    subprocess.run([sys.executable, "-c", PROGRAM, "--resume"], cwd=tmp_path, check=True)
    kept = [
        p for p, at in times.items() if (tmp_path / "b.zarr" / p.relative_to(p.parents[3])).stat().st_mtime_ns == at
    ]
    assert len(kept) >= len(before)  # what was written stays as it was
    same(tmp_path / "b.zarr", noisy)


def test_two_workers_one_of_which_is_killed(tmp_path, noisy, monkeypatch):
    import distributed
    import psutil

    from unnoise.restore import chunked

    monkeypatch.setattr("unnoise.data.chunked._SMALLEST", 1)
    monkeypatch.setattr("unnoise.data.chunked._LARGEST", 2000)
    killed = []

    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=0
    ) as cluster:

        def progress(done, total):
            if done > 0.3 * total and not killed:
                killed.append(next(iter(cluster.workers.values())).pid)
                psutil.Process(killed[0]).kill()

        chunked.restore_chunked(
            tmp_path / "a.zarr", tmp_path / "b.zarr", "hyres", scheduler=cluster.scheduler_address, progress=progress
        )
    assert killed
    same(tmp_path / "b.zarr", noisy)


def test_nobody_answers(tmp_path, noisy):
    from unnoise.errors import InputError
    from unnoise.restore.chunked import restore_chunked

    with pytest.raises(InputError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        restore_chunked(tmp_path / "a.zarr", tmp_path / "b.zarr", "hyres", scheduler="tcp://127.0.0.1:9")


MEASURED = """
import sys
from unnoise.app.cli.main import run
from unnoise.benchmarks.worker import peak_mib
code = run(sys.argv[1:])
print(peak_mib())
sys.exit(code)
"""


def test_400_mb_go_through_in_less(tmp_path):
    import zarr

    shape = (1000, 1000, 100)
    array = zarr.create_array(tmp_path / "a.zarr", shape=shape, chunks=(100, 250, 100), dtype="f4", compressors=None)
    rng = np.random.default_rng(0)
    spectra = rng.random((3, 100), dtype=np.float32)
    for top in range(0, 1000, 100):
        x = np.sin(np.arange(top, top + 100)[:, None, None] / 90 + np.arange(3)) * np.ones((1, 1000, 1))
        array[top : top + 100] = x.astype(np.float32) @ spectra + 0.05 * rng.standard_normal(
            (100, *shape[1:]), np.float32
        )
    options = ["-m", "fasthyde", "--set", "denoiser=bilateral", "--set", "k=4", "--memory", "700M"]
    command = [sys.executable, "-c", MEASURED, "denoise", "a.zarr", "-o", "b.zarr", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "in pieces" in done.stdout
    assert float(done.stdout.splitlines()[-1]) < 700  # the file alone has 381 MiB, in memory it would take 2.7 GiB
