"""The full noise of a sensor: photons, long-tailed read-out, banding, colour offsets, rounding; and cameras to draw it.

`D = K Poisson(I / K) + N_read + N_row + N_q` in digital numbers (DN), black level subtracted. Source: Wei et al. 2020,
"A physics-based noise formation model for extreme low-light raw denoising", eq. 1-7; Wei et al. 2022, TPAMI 44(11).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unnoise.errors import InputError, unknown
from unnoise.noise.seeds import Randomness, normal_like, poisson_like, uniform_like
from unnoise.noise.tukey import standard_deviation, tukey_like

LETTERS = "PpTGRVCQ"
FORMAT = "unnoise camera 1"
CAMERAS = Path(__file__).parent / "cameras"


@dataclass(frozen=True)
class SensorNoise:
    """Noise of one exposure, on linear raw data with black at 0 and white at 1: packed `(B, 4, h, w)` in the order
    R, G1, G2, B, or mosaics `(B, 1, H, W)` whose top left pixel is red.

    Attributes
    ----------
    gain : K, DN one electron makes.
    read : scale (not standard deviation) of the Tukey-lambda read noise in DN; shape : its lambda.
    gauss : standard deviation of all dark noise in DN, for the letter G, which stands in for T.
    row, column : standard deviations in DN of the offset that a sensor row, a sensor column shares.
    bias : offset of each channel in DN, R, G1, G2, B, or one number for a sensor without colours.
    step : width of a rounding step in DN.
    scale : DN from black to white.
    ratio : how many times too short the exposure is; data are darkened by it before and amplified by it after.
    model : which terms act. P photons, p their Gaussian approximation; T Tukey-lambda read noise or G Gaussian dark
        noise; R rows; V columns; C colour offsets; Q rounding.
    clip : lower and upper end of the result, `None` at an end that stays open.

    Examples
    --------
    >>> noise = SensorNoise(gain=2.0, model="P", scale=1000.0)
    >>> y = noise.sample(torch.full((1, 4, 64, 64), 0.1), torch.Generator().manual_seed(0)) * 1000
    >>> round(float(y.mean())), round(float(y.var() / y.mean()), 1), bool((y / 2 - (y / 2).round()).abs().max() < 1e-3)
    (100, 2.0, True)
    """

    gain: float
    read: float = 0.0
    shape: float = 0.14
    gauss: float = 0.0
    row: float = 0.0
    column: float = 0.0
    bias: tuple[float, ...] = (0.0,)
    step: float = 1.0
    scale: float = 1.0
    ratio: float = 1.0
    model: str = "PTRCQ"
    clip: tuple[float | None, float | None] = (None, None)

    def __post_init__(self) -> None:
        check_model(self.model)
        for name in ("gain", "scale", "ratio"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise InputError(f"{name} must be a finite number > 0, got {getattr(self, name):g}")
        for name in ("read", "gauss", "row", "column", "step"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise InputError(f"{name} must be a finite number >= 0, got {getattr(self, name):g}")
        if len(self.bias) not in (1, 4):
            raise InputError(f"bias has {len(self.bias)} numbers: give one for each of R, G1, G2, B, or one for all")

    def sample(self, x: Tensor, generator: Randomness = None) -> Tensor:
        """What the sensor reads of x, amplified back to x's brightness; of x's shape and dtype."""
        _check(x)
        # the darkened signal stays a fraction of a DN: rounding it would remove exactly the signals that matter here
        dn = x * (self.scale / self.ratio)
        if "P" in self.model:
            dn = self.gain * poisson_like(dn.clamp(min=0) / self.gain, generator) + dn.clamp(max=0)
        elif "p" in self.model:
            dn = dn + (self.gain * dn.clamp(min=0)).sqrt() * normal_like(dn, generator)
        dn = dn + self.dark(x, generator)
        y = dn * (self.ratio / self.scale)
        low, high = self.clip
        return y if low is None and high is None else y.clamp(low, high)

    def dark(self, x: Tensor, generator: Randomness = None) -> Tensor:
        """The part that is there without light, in DN, of x's shape."""
        _check(x)
        n = torch.zeros_like(x)
        if "T" in self.model:
            n = n + self.read * tukey_like(x, self.shape, generator)
        elif "G" in self.model:
            n = n + self.gauss * normal_like(x, generator)
        if "R" in self.model:
            n = n + self.row * lines(x, 2, generator)
        if "V" in self.model:
            n = n + self.column * lines(x, 3, generator)
        if "C" in self.model:
            n = n + self._offsets(x)
        if "Q" in self.model:
            n = n + self.step * (uniform_like(x, generator) - 0.5)
        return n

    def std(self, x: Tensor) -> Tensor:
        """Standard deviation at every element, of x's shape: `sqrt(K x + Var dark)`, amplified; clipping left out."""
        _check(x)
        variance = x.new_full((), self.dark_variance()).expand(x.shape)
        if "P" in self.model or "p" in self.model:
            variance = variance + self.gain * (x * (self.scale / self.ratio)).clamp(min=0)
        return variance.sqrt() * (self.ratio / self.scale)

    def dark_variance(self) -> float:
        """Of one pixel without light over exposures, in DN**2."""
        read = (self.read * standard_deviation(self.shape)) ** 2 if "T" in self.model else 0.0
        gauss = self.gauss**2 if "G" in self.model else 0.0
        row, column = self.row**2 * ("R" in self.model), self.column**2 * ("V" in self.model)
        return read + gauss + row + column + self.step**2 / 12 * ("Q" in self.model)

    def _offsets(self, x: Tensor) -> Tensor:
        mu = x.new_tensor(self.bias)
        if len(mu) == 1:
            return mu.expand(x.shape)
        if x.shape[1] == 4:
            return mu[:, None, None].expand(x.shape)
        h, w = x.shape[2:]
        return mu.reshape(2, 2).repeat(-(-h // 2), -(-w // 2))[:h, :w].expand(x.shape)


def lines(x: Tensor, axis: int, source: Randomness = None) -> Tensor:
    """Standard normal numbers, one a sensor row (axis 2) or sensor column (axis 3), that broadcast against x.

    Packed data have two sensor rows in each of theirs: R and G1 share the one, G2 and B the other. Drawing one a
    channel instead would make R and G1 of a row independent, which no sensor does.
    """
    n = x.shape[axis]
    if x.shape[1] == 1:
        shape = (len(x), 1, n, 1) if axis == 2 else (len(x), 1, 1, n)
        return normal_like(x.new_empty(shape), source)
    pair = normal_like(x.new_empty(len(x), n, 2), source)
    both = pair.repeat_interleave(2, 2) if axis == 2 else pair.repeat(1, 1, 2)
    return both.permute(0, 2, 1)[..., None] if axis == 2 else both.permute(0, 2, 1)[:, :, None]


def check_model(model: str) -> None:
    """Refuse a string of letters that names no model."""
    if not set(model) <= set(LETTERS) or len(set(model)) != len(model):
        raise InputError(f"noise model '{model}' has letters other than {LETTERS}, or one twice")
    for a, b in ("Pp", "TG"):
        if a in model and b in model:
            raise InputError(f"noise model '{model}' has both {a} and {b}, which stand for the same noise: drop one")


def _check(x: Tensor) -> None:
    if x.ndim != 4 or x.shape[1] not in (1, 4):
        raise InputError(f"sensor noise takes packed raw (B, 4, h, w) or mosaics (B, 1, H, W), got {tuple(x.shape)}")


@dataclass(frozen=True)
class Line:
    """`log y = slope log K + intercept`, with residuals of standard deviation `spread`; natural logarithms."""

    slope: float
    intercept: float
    spread: float

    def draw(self, log_gain: float, generator: torch.Generator | None = None) -> float:
        """y at a gain, log-normal about the line."""
        n = float(torch.randn((), generator=generator, dtype=torch.float64))
        return math.exp(self.slope * log_gain + self.intercept + self.spread * n)

    def at(self, gain: float) -> float:
        """y on the line."""
        return math.exp(self.slope * math.log(gain) + self.intercept)


@dataclass(frozen=True)
class CameraNoise:
    """Noise of a camera over its ISO range: the joint distribution from which the noise of one exposure is drawn.

    Attributes
    ----------
    name : of the camera; pattern : its colours, "RGGB" or another Bayer order, "mono" for none.
    black, white : DN of no light and of saturation.
    gains : smallest and largest K, DN per electron.
    shapes : lambdas found, one or more an ISO, ISO ascending.
    bias : channel offsets in DN (R, G1, G2, B, or one), rows like `shapes`.
    read, row, gauss, column : scale of the Tukey-lambda noise and deviations of the row, Gaussian and column noise
        against K; `None` for one that was not measured.
    table : what was measured at each ISO, for the reader.

    Examples
    --------
    >>> camera = CameraNoise.load("SonyA7S2")
    >>> noise = camera.sample(torch.Generator().manual_seed(0), "PTRCQ", ratio=(100, 300))
    >>> camera.gains[0] <= noise.gain <= camera.gains[1], 100 <= noise.ratio <= 300, len(noise.bias)
    (True, True, 4)
    """

    name: str
    pattern: str
    black: float
    white: float
    gains: tuple[float, float]
    shapes: tuple[float, ...]
    bias: tuple[tuple[float, ...], ...]
    read: Line
    row: Line
    gauss: Line
    column: Line | None = None
    table: tuple[Mapping[str, float], ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.gains[0] <= self.gains[1]:
            raise InputError(f"camera {self.name}: gains must be 0 < Kmin <= Kmax, got {self.gains}")
        if not self.white > self.black:
            raise InputError(f"camera {self.name}: white {self.white:g} must lie above black {self.black:g}")
        if not self.shapes or not self.bias:
            raise InputError(f"camera {self.name}: shapes and bias need at least one entry")

    def sample(
        self,
        generator: torch.Generator | None = None,
        model: str = "PTRCQ",
        ratio: tuple[float, float] | float = 1.0,
        clip: tuple[float | None, float | None] = (None, None),
    ) -> SensorNoise:
        """Noise of one exposure: log K uniform, the other levels log-normal about their lines, all given K.

        `ratio` is a low-light factor or the ends of a range of them, from which one is drawn uniformly.
        """
        check_model(model)
        low, high = ratio if isinstance(ratio, tuple) else (ratio, ratio)
        if not 0 < low <= high:
            raise InputError(f"ratio must be > 0 and in order, got {low:g} to {high:g}")
        u = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
        log_low, log_high = math.log(self.gains[0]), math.log(self.gains[1])
        log_gain = log_low + (log_high - log_low) * u[0]
        gain = min(max(math.exp(log_gain), self.gains[0]), self.gains[1])
        return SensorNoise(
            gain=gain,
            read=self.read.draw(log_gain, generator),
            shape=self.shapes[min(int(u[1] * len(self.shapes)), len(self.shapes) - 1)],
            gauss=self.gauss.draw(log_gain, generator),
            row=self.row.draw(log_gain, generator),
            column=self.column.draw(log_gain, generator) if self.column else 0.0,
            bias=self.bias[self._row(gain)],
            scale=self.white - self.black,
            ratio=low + (high - low) * u[2],
            model=model,
            clip=clip,
        )

    def at(self, gain: float, model: str = "PTRCQ") -> SensorNoise:
        """Noise at one gain without the scatter about the lines; the shape is the mean of those found."""
        return SensorNoise(
            gain=gain,
            read=self.read.at(gain),
            shape=sum(self.shapes) / len(self.shapes),
            gauss=self.gauss.at(gain),
            row=self.row.at(gain),
            column=self.column.at(gain) if self.column else 0.0,
            bias=self.bias[self._row(gain)],
            scale=self.white - self.black,
            model=model,
        )

    def gain_at(self, iso: float) -> float:
        """K at an ISO: measured there, else in proportion from the nearest one measured."""
        known = {row["iso"]: row["gain"] for row in self.table if row.get("iso", 0) > 0}
        if not known:
            raise InputError(f"the camera {self.name} has no table of ISO values: make its file with unnoise calibrate")
        nearest = min(known, key=lambda k: abs(math.log(k / iso)))
        return known[nearest] * iso / nearest

    def rescaled(self, factor: float) -> CameraNoise:
        """The camera with `factor` times the DN, for instance 1/4 for a file of 12 bits where 14 were calibrated."""
        if not factor > 0:
            raise InputError(f"factor must be > 0, got {factor:g}")

        def moved(line: Line | None) -> Line | None:
            # y' = f y and K' = f K: log y' = slope (log K' - log f) + intercept + log f
            return line and replace(line, intercept=line.intercept + (1 - line.slope) * math.log(factor))

        read, row, gauss = moved(self.read), moved(self.row), moved(self.gauss)
        assert read and row and gauss
        levels = ("gain", "read", "row", "gauss", "column")
        return replace(
            self,
            black=self.black * factor,
            white=self.white * factor,
            gains=(self.gains[0] * factor, self.gains[1] * factor),
            bias=tuple(tuple(b * factor for b in row) for row in self.bias),
            read=read,
            row=row,
            gauss=gauss,
            column=moved(self.column),
            table=tuple({k: v * factor if k in levels else v for k, v in row.items()} for row in self.table),
        )

    def _row(self, gain: float) -> int:
        """Of the table of offsets: rows lie at equal steps of log K, as ISO values do."""
        low, high = (math.log(g) for g in self.gains)
        at = (math.log(gain) - low) / (high - low) if high > low else 0.0
        return min(max(int(at * len(self.bias)), 0), len(self.bias) - 1)

    def to_json(self) -> str:
        """The text of a camera file."""
        return json.dumps({"format": FORMAT} | asdict(self), indent=1, allow_nan=False) + "\n"

    @classmethod
    def load(cls, name_or_path: str | Path) -> CameraNoise:
        """A camera that comes with the package, by name, or a file that `unnoise calibrate` wrote.

        Raises
        ------
        InputError : no such name or file, or a file that is none of a camera.
        """
        path = Path(name_or_path)
        if path.suffix != ".json":
            shipped = {p.stem: p for p in CAMERAS.glob("*.json")}
            if str(name_or_path) not in shipped:
                raise unknown("camera", str(name_or_path), shipped)
            path = shipped[str(name_or_path)]
        try:
            return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise InputError(f"there is no camera file {path}: make it with unnoise calibrate") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{path} is not a camera file ({error}): make it with unnoise calibrate") from None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CameraNoise:
        """Inverse of `to_json`."""
        if values.get("format") != FORMAT:
            raise ValueError(f"its format is {values.get('format')!r}, not {FORMAT!r}")
        fields = {k: v for k, v in values.items() if k != "format"}
        for name in ("read", "row", "gauss", "column"):
            fields[name] = Line(**fields[name]) if fields.get(name) else None
        fields["gains"] = _pair(fields["gains"])
        fields["shapes"] = tuple(map(float, fields["shapes"]))
        fields["bias"] = tuple(tuple(map(float, row)) for row in fields["bias"])
        fields["table"] = tuple(dict(row) for row in fields.get("table", ()))
        return cls(**fields)


def _pair(values: Sequence[float]) -> tuple[float, float]:
    low, high = map(float, values)
    return low, high


def cameras() -> list[str]:
    """Names of the cameras that come with the package."""
    return sorted(path.stem for path in CAMERAS.glob("*.json"))
