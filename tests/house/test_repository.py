"""What is committed: no traces of a machine, pins that cover everything, one version, a README that tells the truth."""

import importlib.util
import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import unnoise
from unnoise._version import __version__

ROOT = Path(__file__).parents[2]
VENDORED = ("docs/assets/mathjax/",)
# written in pieces, so that this file does not find itself
MACHINE = re.compile("|".join([r"/(?:" + "work|farm|root|home/\\w+" + r")/\w", "/tmp/" + "bash"]))
REGISTRIES = re.compile(
    "|".join(
        host + r"\b"
        for host in ("pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org", "download.pytorch" + ".org")
    )
)


@pytest.fixture(scope="module")
def committed():
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    names = [n for n in listed.stdout.decode().split("\0") if n and not n.startswith(VENDORED)]
    return {n: (ROOT / n).read_bytes() for n in names if (ROOT / n).is_file()}


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    for pin in found:
        assert re.fullmatch(r"==[^*+,]+", str(pin.specifier)), f"{pin} is not one public version"
        assert pin.url is None and pin.marker is None
    return {canonicalize_name(p.name): str(p.specifier)[2:] for p in found}


@pytest.mark.parametrize("trace", [MACHINE, REGISTRIES], ids=["machine paths", "registries"])
def test_no_file_names_a_machine_or_a_registry(committed, trace):
    text = {n: b.decode(errors="ignore") for n, b in committed.items() if b"\0" not in b[:8192]}
    hits = {n: m[0] for n, t in text.items() if (m := trace.search(t))}
    assert not hits


def test_no_large_file(committed):
    assert [n for n, b in committed.items() if len(b) > 7 << 20] == []  # the photo networks are 6.6 MiB each


def test_one_version():
    assert unnoise.__version__ == __version__ == metadata.version("unnoise")
    heading = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heading is not None and heading[1] in ("Unreleased", __version__)


def test_pins_meet_every_requirement_of_every_extra(project, pins):
    wanted = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    for requirement in map(Requirement, wanted):
        name = canonicalize_name(requirement.name)
        if name != "unnoise":
            assert name in pins, f"{name} is not pinned"
            assert requirement.specifier.contains(pins[name]), f"{requirement} does not admit {pins[name]}"


def test_pins_cover_what_the_requirements_require(pins):
    def required(name):
        try:
            lines = metadata.distribution(name).requires or []
        except metadata.PackageNotFoundError:  # an extra that is not installed here
            return set()
        needed = map(Requirement, lines)
        return {canonicalize_name(r.name) for r in needed if r.marker is None or r.marker.evaluate({"extra": ""})}

    missing = {(name, r) for name in pins for r in required(name) if r not in pins and r != "unnoise"}
    assert missing == set()


def test_the_readme_shows_what_the_reports_say():
    path = ROOT / "docs" / "hooks.py"
    spec = importlib.util.spec_from_file_location("unnoise_docs_hooks", path)
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert hooks.MARKS.search(readme), "the marks of the table of papers are gone"
    assert hooks.with_papers(readme) == readme, "run: make readme"
