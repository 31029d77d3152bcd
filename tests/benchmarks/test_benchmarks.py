"""Every benchmark runs on its small input and writes what it measured; what it says of quality is true."""

import json

import pytest

from unnoise.app.cli.main import run
from unnoise.benchmarks import BENCHMARKS


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.delenv("UNNOISE_DATA", raising=False)

    def call(name):
        assert run(["bench", name, "--quick", "--repeats", "1", "--threads", "1", "-o", str(tmp_path)]) == 0
        return json.loads((tmp_path / f"{name}.json").read_text())

    return call


def scores(report):
    return {r["name"]: r["scores"] for r in report["results"]}


def test_every_benchmark_is_listed(capsys):
    assert run(["bench"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in BENCHMARKS)


def test_wavelets_of_both_reconstruct(bench):
    assert all(s["round_trip"] < 5e-6 for s in scores(bench("wavelets")).values())


def test_tiles_equal_the_whole_picture(bench):
    found = scores(bench("tiling"))
    assert found.pop("whole picture")["difference"] == 0
    assert found and all(s["difference"] < 1e-5 for s in found.values())


def test_dilated_convolutions_are_dense_ones_on_sub_images(bench):
    found = scores(bench("dilated"))
    assert len(found) == 3 and all(s["difference"] < 1e-5 for s in found.values())


def test_8_bits_cost_no_quality(bench):
    found = {name: s["psnr"] for name, s in scores(bench("int8")).items()}
    assert len(found) == 4 and max(found.values()) - min(found.values()) < 0.02


def test_jacobians_are_the_same_whichever_way(bench):
    assert all(s["difference"] < 1e-5 for s in scores(bench("jacobian")).values())


@pytest.mark.slow
def test_cubes_are_cleaned_by_every_method(bench, monkeypatch):
    monkeypatch.delenv("UNNOISE_HYDE_PYTHON", raising=False)
    report = bench("cubes")
    found = scores(report)
    if found.pop("unnoise fasthyde with BM3D, as HyDe", None) is None:
        assert "bench" in report["skipped"].pop("unnoise fasthyde with BM3D, as HyDe")
    assert len(found) == 8 and all(name.startswith("unnoise") for name in found)
    assert all(s["mpsnr"] > 26 and s["sam"] < 8 for s in found.values())
    assert all("set UNNOISE_HYDE_PYTHON" in reason for reason in report["skipped"].values())
    assert "HyDe did not run" in report["notes"]


def test_samplers_give_what_diffusers_gives(bench):
    pytest.importorskip("diffusers", reason="needs the extra 'diffusers'")
    report = bench("samplers")
    assert report["reference"] == "its peer"
    found = scores(report)
    assert len(found) == 2 and all(s["difference"] < 1e-5 and s["share"] > 0 for s in found.values())


def test_adaptive_guidance_is_charged_what_it_costs(bench):
    found = scores(bench("guidance"))
    assert found["CFG, 2"]["nfe"] == 40 and found["CFG, 2"]["ssim"] == pytest.approx(1.0)
    assert 21 <= found["adaptive, 2"]["nfe"] < 40 and found["adaptive, 2"]["ssim"] > 0.8


def test_startup_starts(bench):
    report = bench("startup")
    assert report["results"][0]["seconds"][0] < report["results"][1]["seconds"][0]


@pytest.mark.parametrize("name", ["large", "large_cbsn"])
def test_a_large_file_passes_end_to_end(bench, name):
    report = bench(name)
    assert [r["name"] for r in report["results"]] == ["decode and encode", "tiles of 128", "tiles of 512"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["photo", "photo-gray"])
def test_every_contender_removes_noise(bench, tmp_path, name):
    noisy = 20.17  # PSNR of level 25, not clipped
    report = bench(name)
    assert all(s["psnr"] > noisy + 2 and 0 < s["ssim"] < 1 for s in scores(report).values())
    assert set(report["skipped"]) <= {"BM3D"}
    assert (tmp_path / f"{name}.webp").stat().st_size > 1000


@pytest.mark.slow
def test_a_cube_in_pieces_is_cleaned_and_measured(bench):
    pytest.importorskip("dask", reason="needs the extra 'cluster'")
    (result,) = bench("large_cube")["results"]
    assert result["scores"]["rmse"] < 0.4 * 0.05 and 50 < result["peak_mib"] < 2048


@pytest.mark.slow
def test_mosaics_become_pictures(bench, monkeypatch):
    monkeypatch.delenv("UNNOISE_DEMOSAICNET_PYTHON", raising=False)
    report = bench("raw")
    found = scores(report)
    assert "unnoise jdd" in found and all(s["samples 0"] > 30 and s["samples 10"] > 27 for s in found.values())
    if "demosaicnet" in report["skipped"]:
        assert "set UNNOISE_DEMOSAICNET_PYTHON" in report["skipped"]["demosaicnet"]
