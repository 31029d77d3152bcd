"""`unnoise noise RAW --profile camera.json`: what a calibrated camera says of a raw file, beside the file itself."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from unnoise.data.formats import EXTENSIONS, RAW_EXTENSIONS
from unnoise.data.inputs import expand_inputs
from unnoise.errors import InputError

NAMES = {4: ("R", "G1", "G2", "B"), 1: ("gray",)}


def noise_of_raw(inputs: list[str], profile: str, iso: float | None, max_pixels: int) -> None:
    """Print, for each raw file, gain, electrons, noise by the camera and noise measured, a row a channel."""
    from unnoise.data.frames import dtype_top
    from unnoise.data.raw import is_raw, pack, read_raw
    from unnoise.noise.estimate import mad_sigma
    from unnoise.noise.sensor import CameraNoise
    from unnoise.noise.tukey import standard_deviation

    console = Console(highlight=False, soft_wrap=True)
    camera = CameraNoise.load(profile)
    for path in expand_inputs(inputs, (*RAW_EXTENSIONS, *EXTENSIONS)):
        pattern = None if is_raw(path) else camera.pattern
        raw = read_raw(path, max_pixels=max_pixels, pattern=pattern)
        if dtype_top(raw) is None:  # the file knows no levels; the camera does
            raw = read_raw(path, black=camera.black, white=camera.white, max_pixels=max_pixels, pattern=pattern)
        span = raw.white - raw.black[0]
        camera_here = camera.rescaled(span / (camera.white - camera.black))
        if not 0.2 < span / (camera.white - camera.black) < 5:
            raise InputError(
                f"{path} has {span:g} DN from black to white, the camera {camera.name} "
                f"{camera.white - camera.black:g}: give the profile of the camera that took it"
            )
        level = iso or raw.iso
        if camera.gains[0] == camera.gains[1]:
            gain = camera_here.gains[0]
        elif level is None:
            raise InputError(f"{path} does not say its ISO, and {camera.name} was calibrated at several: pass --iso")
        else:
            gain = camera_here.gain_at(level)
        noise = camera_here.at(gain)
        read = noise.read * standard_deviation(noise.shape)
        said = "" if level is None else f"ISO {level:g}, "
        console.print(
            f"{path}: {said}K = {gain:.4g} DN/e-; in the dark {noise.dark_variance() ** 0.5:.3g} DN "
            f"({noise.dark_variance() ** 0.5 / gain:.3g} e-): read-out {read:.3g} (Tukey-lambda {noise.shape:.3f}), "
            f"rows {noise.row:.3g}, rounding {12**-0.5:.2g}",
            markup=False,
        )
        y = pack(raw)
        table = Table("", "mean (DN)", "electrons", "noise by camera (DN)", "measured, white part (DN)", box=None)
        measured = mad_sigma(y)[0] * span
        for c, name in enumerate(NAMES[y.shape[1]]):
            mean = float(y[:, c].mean()) * span
            expected = (noise.dark_variance() + gain * max(mean, 0.0)) ** 0.5
            table.add_row(name, f"{mean:.1f}", f"{mean / gain:.1f}", f"{expected:.2f}", f"{float(measured[c]):.2f}")
        console.print(table)
