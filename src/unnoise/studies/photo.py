"""What the shipped photo denoisers reach: their promises as checks, the field's tables, the targets as claims."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from unnoise.data.catalog import require
from unnoise.data.pairs import Pair, add_gaussian, gaussian_pairs, real_pairs
from unnoise.data.samples import sample_photo
from unnoise.denoiser import Ensemble, Tiled
from unnoise.metrics import psnr
from unnoise.nets.published import Net, load_published
from unnoise.noise.seeds import generator
from unnoise.restore.door import restore
from unnoise.restore.photo import Photo, trained, trained_real
from unnoise.restore.photo_quality import LEVELS, clean_picture
from unnoise.studies.intervals import bootstrap_interval
from unnoise.studies.report import Check, Claim, Criterion, Report, Table
from unnoise.training.presets import load_preset
from unnoise.zoo import load, save
from unnoise.zoo.header import find, read_header

OUTSIDE = (2, 5, 100, 150)  # noise levels; training ends at 75
BETWEEN_SEEDS = 0.02  # dB that the mean of a set of 68 pictures moves by when its noise is drawn anew
REFERENCES = {
    "DnCNN (25)": "dncnn_s25_gray.npz",
    "FFDNet": "ffdnet_gray.npz",
    "BF-CNN (0-10)": "bfcnn_gray_0-10.npz",
    "CNN with biases (0-10)": "bcnn_gray_0-10.npz",
}
PUBLISHED: dict[str, dict[str, tuple[float, ...]]] = {
    "bsd68": {
        "BM3D": (31.07, 28.57, 25.62),
        "DnCNN": (31.73, 29.23, 26.23),
        "FFDNet": (31.63, 29.19, 26.29),
        "DRUNet": (31.91, 29.48, 26.59),
    },
    "cbsd68": {
        "BM3D": (33.52, 30.71, 27.38),
        "DnCNN": (33.89, 31.23, 27.92),
        "FFDNet": (33.87, 31.21, 27.96),
        "DRUNet": (34.30, 31.69, 28.51),
    },
}
"""PSNR at levels 15, 25 and 50 as their papers have it; DnCNN one network a level in gray, blind in colour."""


class Quality(BaseModel):
    """One preset of `presets/photo_quality.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    samples: bool  # scikit-image's photographs in place of the test sets, without claims
    every: int
    claims: dict[str, Any]


def run(preset: str = "laptop") -> Report:
    """Checks on a photograph, tables and claims on the test sets; `smoke` needs no data set."""
    start = time.perf_counter()
    p = load_preset(Quality, "photo-quality", preset)
    with torch.inference_mode():
        checks = _promises()
        tables, claims = ([_samples()], []) if p.samples else _test_sets(p)
    return Report(
        slug="photo",
        preset=preset,
        command=f"unnoise reproduce photo --preset {preset}",
        seeds=(0,),
        seconds=time.perf_counter() - start,
        checks=tuple(checks),
        claims=tuple(claims),
        tables=tuple(tables),
    )


def _promises() -> list[Check]:
    """What the contract says of the two networks, on a crop of a photograph with an odd size."""
    x = torch.from_numpy(sample_photo("astronaut")[:203, :301].copy()).permute(2, 0, 1)[None]
    y = x + 25 / 255 * torch.randn(x.shape, generator=generator(0))
    checks = []
    for name, make in (("photo", trained), ("photo-real", trained_real)):
        denoiser = cast(Photo, make())
        fast, level = denoiser.precision, None if denoiser.card.blind else 25 / 255
        fast_difference = 255 * (Tiled(denoiser, 96)(y, level) - denoiser(y, level)).abs()
        denoiser.precision = "float32"
        whole = denoiser(y, level)
        stronger = denoiser(3 * y, level and 3 * level) / 3
        checks += [
            Check(f"{name}: tiles differ from the whole, float32", _max(Tiled(denoiser, 96)(y, level) - whole), 1e-5),
            Check(f"{name}: the same in {fast}, mean of 255", float(fast_difference.mean()), 0.02),
            Check(f"{name}: the same in {fast}, largest of 255", float(fast_difference.max()), 1),
            Check(f"{name}: D(3 y, 3 sigma) / 3 differs from D(y, sigma)", _max(stronger - whole), 1e-5),
            Check(f"{name}: sees beyond its reach", _beyond_reach(denoiser, level), 0.0, "=="),
            Check(f"{name}: saved and loaded differs", _reloaded(name, denoiser, y, level), 0.0, "=="),
        ]
    for strength, least in ((3, 1.0), (150, 10.0)):
        noisy = x + strength / 255 * torch.randn(x.shape, generator=generator(1))
        gain = psnr(trained()(noisy, strength / 255), x) - psnr(noisy, x)
        checks.append(Check(f"photo: gain at level {strength} (dB)", gain, least, ">="))
    return checks


def _max(difference: Tensor) -> float:
    return float(difference.abs().max())


def _beyond_reach(denoiser: Photo, level: float | None) -> float:
    """Largest change of pixels further than `reach` from a changed one, over all phases of the stride's grid."""
    reach, stride = denoiser.card.reach or 0, denoiser.card.stride
    edge = 2 * reach + 3 * stride
    y = torch.rand(1, 3, edge, edge, generator=generator(0))
    whole, worst = denoiser(y, level), 0.0
    for at in range(reach + stride, reach + 2 * stride):
        changed = y.clone()
        changed[..., at, at] += 0.5
        far = (denoiser(changed, level) - whole).abs().amax((0, 1))
        far[at - reach : at + reach + 1, at - reach : at + reach + 1] = 0
        worst = max(worst, float(far.max()))
    return worst


def _reloaded(name: str, denoiser: Photo, y: Tensor, level: float | None) -> float:
    """Of weights that were rounded already, nothing is lost by another trip through a file."""
    config = read_header(find(name)).config
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "again.safetensors"
        again = cast(Photo, load(save(path, denoiser, arch="photo", config=config, int8=denoiser.int8_weights())))
    again.precision = "float32"
    return _max(again(y, level) - denoiser(y, level))


def _samples() -> Table:
    """Both networks on photographs of scikit-image, which were not trained on."""
    rows = []
    for name in ("astronaut", "coffee", "camera"):
        x = sample_photo(name)[60:252, 60:252]
        y = add_gaussian(x, 25, 0)
        rows.append((name, *(round(psnr(z, x), 2) for z in (y, clean_picture(trained(), y, 25 / 255)))))
    return Table("PSNR in dB, noise of level 25", ("picture", "noisy", "photo"), tuple(rows))


def _test_sets(p: Quality) -> tuple[list[Table], list[Claim]]:
    photo, real = trained(), trained_real()
    tables, claims = [], []
    for name in ("bsd68", "cbsd68"):
        table, found = _gaussian(name, photo, p)
        tables.append(table)
        claims += found
    tables += [_other_sets(photo, p), _outside(photo, p), _ensemble(photo, p)]
    for name in ("cc15", "polyu"):
        table, found = _camera(name, real, p)
        tables.append(table)
        claims += found
    return tables, claims


def _pairs(pairs: Iterator[Pair], p: Quality) -> Iterator[Pair]:
    return islice(pairs, 0, None, p.every)


def _scores(denoise: Net, name: str, level: int, p: Quality) -> list[float]:
    """PSNR of each picture; the denoiser is told the level."""
    pairs = _pairs(gaussian_pairs(name, level), p)
    return [psnr(clean_picture(denoise, pair.noisy, level / 255), pair.clean) for pair in pairs]


def _references(*names: str) -> dict[str, Net]:
    folder = require("reference_weights")
    return {name: load_published(folder / REFERENCES[name]) for name in names}


def _gaussian(name: str, photo: Net, p: Quality) -> tuple[Table, list[Claim]]:
    """Ours, the references that were run here, and published numbers."""
    claims, ours = [], []
    for level in LEVELS:
        mean = float(np.mean(_scores(photo, name, level, p)))
        ours.append(round(mean, 2))
        criterion = Criterion(**p.claims[name][str(level)])
        label = f"{name.upper()}, noise of level {level}"
        published = PUBLISHED[name]["DRUNet"][LEVELS.index(level)]
        claims.append(Claim(label, round(mean, 3), criterion, around(mean, BETWEEN_SEEDS), published, "dB"))
    rows: list[tuple[Any, ...]] = [("photo", *ours, "here")]
    if name == "bsd68":
        for reference, net in _references("DnCNN (25)", "FFDNet").items():
            levels = (25,) if reference.startswith("DnCNN") else LEVELS
            found = [round(float(np.mean(_scores(net, name, n, p))), 2) if n in levels else None for n in LEVELS]
            rows.append((reference, *found, "here"))
    rows += [(method, *values, "published") for method, values in PUBLISHED[name].items()]
    columns = ("network", *(f"level {level}" for level in LEVELS), "measured")
    return Table(f"{name.upper()}: PSNR in dB", columns, tuple(rows), "Noise neither clipped nor rounded."), claims


def _other_sets(photo: Net, p: Quality) -> Table:
    rows: list[tuple[Any, ...]] = []
    for name in ("set12", "mcmaster"):
        rows.append((name, *(round(float(np.mean(_scores(photo, name, level, p))), 2) for level in LEVELS)))
    return Table("Other sets: PSNR of photo in dB", ("set", *(f"level {level}" for level in LEVELS)), tuple(rows))


def _outside(photo: Net, p: Quality) -> Table:
    """Networks without biases go on working outside the levels they saw, one with biases does not."""
    nets = {"photo": photo} | _references("BF-CNN (0-10)", "CNN with biases (0-10)")
    rows: list[tuple[Any, ...]] = [
        (label, *(round(float(np.mean(_scores(net, "set12", level, p))), 2) for level in OUTSIDE))
        for label, net in nets.items()
    ]
    note = "photo was trained on levels 0 to 75, the two others on 0 to 10."
    columns = ("network", *(f"level {level}" for level in OUTSIDE))
    return Table("Set12 at levels in and outside training: PSNR in dB", columns, tuple(rows), note)


def _ensemble(photo: Net, p: Quality) -> Table:
    """Eight flips and rotations, and half of the way, on every eighth picture."""
    few = p.model_copy(update={"every": 8 * p.every})
    averaged = Ensemble(cast(Photo, photo))
    rows: list[tuple[Any, ...]] = []
    for name in ("bsd68", "cbsd68"):
        alone, eight = (float(np.mean(_scores(net, name, 25, few))) for net in (photo, averaged))
        part = [float(np.mean(_scores(_mixed(photo, s), name, 25, few))) for s in (0.5, 0.8)]
        rows.append((name, *(round(v, 2) for v in (alone, eight, *part))))
    columns = ("set", "photo", "ensemble", "strength 0.5", "strength 0.8")
    return Table("Noise of level 25, every eighth picture: PSNR in dB", columns, tuple(rows))


def _mixed(net: Net, strength: float) -> Net:
    return lambda y, sigma: torch.lerp(y, net(y, sigma), strength)


def _camera(name: str, real: Callable[..., Tensor], p: Quality) -> tuple[Table, list[Claim]]:
    """photo-real, and the automatic choices, on photographs whose truth is the mean of many shots."""
    found: dict[str, list[float]] = {"noisy": [], "classical": [], "auto": [], "photo-real": []}
    for pair in _pairs(real_pairs(name), p):
        found["noisy"].append(psnr(pair.noisy, pair.clean))
        found["photo-real"].append(psnr(clean_picture(real, pair.noisy), pair.clean))
        for method in ("auto", "classical"):
            found[method].append(psnr(restore(pair.noisy, method).image, pair.clean))
    noisy = np.array(found["noisy"])
    rows: tuple[tuple[Any, ...], ...] = tuple(
        (method, round(float(np.mean(values)), 2), round(float((np.array(values) - noisy).min()), 2))
        for method, values in found.items()
    )
    title = f"{name.upper()}, {len(noisy)} photographs as a camera delivers them: PSNR in dB"
    table = Table(title, ("method", "mean", "least gain over noisy"), rows)
    gain = np.array(found["photo-real"]) - noisy
    if name == "polyu":
        value, interval = bootstrap_interval(gain.tolist())
        return table, [
            Claim("PolyU: mean gain of photo-real", value, Criterion(**p.claims["polyu"]), interval, unit="dB")
        ]
    above = np.array(found["photo-real"]) - np.array(found["classical"])
    value, interval = bootstrap_interval(above.tolist())
    mean = float(np.mean(found["photo-real"]))
    return table, [
        Claim("CC15: photo-real", mean, Criterion(**p.claims["cc15"]), around(mean), unit="dB"),
        Claim(
            "CC15: photo-real over the best classical",
            value,
            Criterion(**p.claims["above_classical"]),
            interval,
            unit="dB",
        ),
        Claim(
            "CC15: least gain of photo-real",
            float(gain.min()),
            Criterion(**p.claims["worst"]),
            around(float(gain.min())),
            unit="dB",
        ),
    ]


def around(value: float, spread: float = 0.0) -> tuple[float, float]:
    """The interval of a number that a test set fixes, up to `spread` where its noise is drawn."""
    return value - spread, value + spread
