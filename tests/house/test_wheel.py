"""What is built and installed works without the source tree: another environment, another folder."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def call(*command, cwd):
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of the files as they are, built outside the tree so that nothing is left in it."""
    pytest.importorskip("setuptools")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    call(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", out, source, cwd=out)
    return next(out.glob("unnoise-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A new environment with the wheel; its libraries are the ones of this environment, which has no wheel."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    paths = {"base": str(folder), "platbase": str(folder)}
    site = Path(sysconfig.get_path("purelib", "venv", paths))
    (site / "libraries.pth").write_text("\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}))
    python = Path(sysconfig.get_path("scripts", "venv", paths)) / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "--python", python]
    call(*pip, "install", "--no-deps", "--no-index", "--ignore-installed", wheel, cwd=folder)
    return python


def test_the_wheel_holds_the_data_files(wheel):
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    tree = ROOT / "src"
    wanted = [*tree.rglob("*.py"), *tree.rglob("presets/*.yaml"), *tree.rglob("weights/*.safetensors")]
    wanted += [p for p in tree.glob("unnoise/studies/reports/**/*") if p.is_file()]
    missing = {p.relative_to(tree).as_posix() for p in [*wanted, tree / "unnoise" / "py.typed"]} - packed
    assert missing == set()


def test_the_installed_commands_work_elsewhere(installed, tmp_path):
    unnoise = installed.with_name("unnoise")
    where = call(installed, "-c", "import unnoise; print(unnoise.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parents[1])
    rng = np.random.default_rng(0)
    noisy = np.clip(128 + 20 * rng.standard_normal((64, 80, 3)), 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(tmp_path / "noisy.png")
    call(unnoise, "denoise", "noisy.png", "-o", "clean.png", cwd=tmp_path)
    with Image.open(tmp_path / "clean.png") as cleaned:
        assert np.asarray(cleaned).std() < 0.5 * noisy.std()
    assert "harmonic_bases" in call(unnoise, "papers", cwd=tmp_path)
    assert "wavelet" in call(unnoise, "methods", cwd=tmp_path)
