"""What the study trains: networks on disjoint sets of photographs' patches, and on pictures of known geometry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from unnoise.data.catalog import require
from unnoise.data.crops import LUMA, load_crops
from unnoise.data.inputs import expand_inputs
from unnoise.data.pairs import clean_set
from unnoise.data.samples import sample_photo
from unnoise.errors import InputError
from unnoise.explain.harmonic_data import c_alpha, disks, ray, shuffle_pixels
from unnoise.explain.harmonic_nets import BFUNet
from unnoise.explain.harmonic_training import NetOptions, train_net
from unnoise.noise.seeds import generator
from unnoise.studies.kept import key
from unnoise.training.loop import Progress
from unnoise.training.options import FitOptions, Options

SETS = 100  # photographs of each training set
SAMPLES = (("camera", "grass"), ("coins", "brick"), ("moon", "gravel"))  # both training sets and the test set
SHUFFLE = 7  # seed of the permutation of pixels


class PatchOptions(Options):
    """Patches of gray photographs that were averaged down.

    Attributes
    ----------
    data : "bsd" (two runs of 100 files of BSD431, sorted by name; tests from BSD68) or scikit-image's "samples".
    side, shrink : of a patch in pixels, and the block that becomes one pixel.
    least_std : flatter patches are left out.
    sizes : N of each pair of networks, smallest first.
    test : number of test patches.
    sigmas : noise levels of the tables.
    """

    data: Literal["bsd", "samples"] = "bsd"
    side: int = Field(default=16, gt=3)
    shrink: int = Field(default=3, gt=0)
    least_std: float = Field(default=0.06, ge=0)
    sizes: tuple[int, ...]
    test: int = Field(default=400, gt=1)
    sigmas: tuple[float, ...] = (0.05, 0.1, 0.2, 0.4, 0.8)
    net: NetOptions
    fit: FitOptions


class FamilyOptions(Options):
    """Pictures made from a few numbers: `n` of them to learn from, `test` others, of `side` pixels.

    `floor` : of the noise levels that weigh the loss (see `harmonic_training.train_net`).
    """

    n: int = Field(gt=0)
    test: int = Field(default=64, gt=1)
    side: int = Field(gt=3)
    net: NetOptions
    fit: FitOptions
    floor: float | None = Field(default=None, gt=0)


class SampleOptions(Options):
    """Of `harmonic_sampler.sample_from_denoiser`, and how many samples."""

    n: int = Field(default=32, gt=1)
    h: float = 0.1
    beta: float = 1.0
    sigma_end: float = 0.03
    mean: float = 0.45
    max_steps: int = 400


class Harmonic(Options):
    """One preset of `presets/harmonic_bases.yaml`; `keep` is a folder in which trained networks stay."""

    patches: PatchOptions
    samples: SampleOptions
    ray: FamilyOptions
    disks: FamilyOptions
    c_alpha: FamilyOptions
    alphas: tuple[float, ...]
    range: tuple[float, float]
    photo: bool
    claims: dict[str, dict[str, float]]
    keep: str | None = None


@dataclass(eq=False)
class Networks:
    """Trains when asked, once: by name and everything that shapes the result. `progress` hears of every step."""

    folder: Path
    progress: Callable[[Progress], None] | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    def get(self, name: str, x: Tensor, net: NetOptions, fit: FitOptions, floor: float | None = None) -> BFUNet:
        """A network in `eval` mode, trained on x (N, 1, H, W)."""
        shape: dict[str, Any] = {"net": net.model_dump(), "fit": fit.model_dump(), "x": list(x.shape)}
        shape |= {} if floor is None else {"floor": floor}
        out = self.folder / f"{name}-{key(shape, x.numpy().tobytes())}"
        trained, self.seconds[name] = train_net(x, net, fit, out, floor, self.progress)
        return trained


@dataclass(frozen=True, eq=False)
class Patches:
    """Two training sets of different photographs and test patches of others, each (n, 1, side, side)."""

    first: Tensor
    second: Tensor
    test: Tensor


def photo_patches(p: PatchOptions) -> Patches:
    """Raises `MissingData` when the photographs are not on this machine, `InputError` for sizes that fall."""
    if list(p.sizes) != sorted(p.sizes):
        raise InputError(f"the sizes of the training sets must rise, got {list(p.sizes)}")
    most = p.sizes[-1]
    if p.data == "samples":
        groups = [[_gray(sample_photo(name)) for name in names] for names in SAMPLES]
    else:
        paths = sorted(expand_inputs([require("bsd431")]), key=lambda path: path.name)[: 2 * SETS]
        photographs = [image[..., 0].astype(np.float32) / 255 for image in load_crops(paths, channels=1).images]
        order = np.argsort([path.name for path in sorted(paths, key=str)])  # load_crops sorts by the whole path
        named = [photographs[i] for i in order]
        groups = [named[:SETS], named[SETS:], [_gray(x) for _, x in clean_set("bsd68")]]
    counts = (most, most, p.test)
    return Patches(*(cut(g, n, p, seed) for seed, (g, n) in enumerate(zip(groups, counts, strict=True))))


def _gray(x: Any) -> Any:
    return x if x.ndim == 2 else (x @ LUMA).astype(np.float32)


def cut(photographs: list[Any], n: int, p: PatchOptions, seed: int) -> Tensor:
    """n patches at random places, one of each photograph in turn, so that few patches are of many photographs."""
    found: list[list[Tensor]] = []
    for i, photograph in enumerate(photographs):
        if min(photograph.shape) // p.shrink < p.side:
            continue
        x = torch.from_numpy(np.ascontiguousarray(photograph))[None, None]
        small = torch.nn.functional.avg_pool2d(x, p.shrink)[0, 0]
        windows = small.unfold(0, p.side, 2).unfold(1, p.side, 2)  # a view: copied, it would be 64 pictures and more
        liveliness = torch.cat([row.flatten(1).std(1) for row in windows])
        lively = torch.nonzero(liveliness > p.least_std)[:, 0]
        order = torch.randperm(len(lively), generator=generator(seed, i))[:n]
        columns = windows.shape[1]
        found.append([windows[j // columns, j % columns] for j in lively[order].tolist()])
    patches: list[Tensor] = []
    for turn in range(max(map(len, found), default=0)):
        patches += [each[turn] for each in found if turn < len(each)]
        if len(patches) >= n:
            return torch.stack(patches[:n])[:, None].contiguous()
    size = f"{p.side} x {p.side} pixels"
    raise InputError(
        f"the photographs have {len(patches)} patches of {size} that are lively enough, {n} were asked for"
    )


def photo_networks(all_: Networks, p: PatchOptions, data: Patches) -> dict[int, tuple[BFUNet, BFUNet]]:
    """N -> two networks of disjoint sets."""
    return {
        n: (
            all_.get(f"first-{n}", data.first[:n], p.net, p.fit),
            all_.get(f"second-{n}", data.second[:n], p.net, p.fit.model_copy(update={"seed": p.fit.seed + 1})),
        )
        for n in reversed(p.sizes)
    }


def shuffled_network(all_: Networks, p: PatchOptions, data: Patches) -> BFUNet:
    """Learnt from the first set with its pixels in another order, the same for all."""
    return all_.get(f"shuffled-{p.sizes[-1]}", shuffle_pixels(data.first, SHUFFLE), p.net, p.fit)


def family_pictures(p: Harmonic) -> Mapping[str, tuple[Tensor, Tensor]]:
    """Name -> pictures to learn from and others to test with."""
    seen, new = 1, 2
    one = c_alpha(1, 2.0, size=p.ray.side, seed=5)[0]
    found = {
        "disks": (disks(p.disks.n, p.disks.side, seed=seen), disks(p.disks.test, p.disks.side, seed=new)),
        "ray": (ray(one, p.ray.n, seed=seen), ray(one, p.ray.test, seed=new)),
    }
    for alpha in p.alphas:
        o = p.c_alpha
        pictures = (c_alpha(n, alpha, size=o.side, seed=s) for n, s in ((o.n, seen), (o.test, new)))
        found[f"alpha-{alpha:g}"] = tuple(pictures)  # type: ignore[assignment]
    return found


def family_network(all_: Networks, p: Harmonic, name: str, x: Tensor) -> BFUNet:
    """The network of one family."""
    o = {"disks": p.disks, "ray": p.ray}.get(name, p.c_alpha)
    return all_.get(name, x, o.net, o.fit, o.floor)
