"""Pictures for people: before and after, contact sheets. Pixels are shown as they are, never resampled smoothly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Unit = NDArray[np.float32]  # (H, W, 3) in [0, 1]

GAP, BAR = 8, 26
INK, PAPER = (25, 25, 25), (255, 255, 255)
ZOOM = 4  # how much the detail is enlarged, by repeating pixels


def as_rgb(image: NDArray[Any]) -> Unit:
    """A gray or RGB photo of any type as float32 RGB in [0, 1] for showing."""
    from unnoise.data.values import full_scale

    unit = np.clip(image.astype(np.float32) / full_scale(image.dtype), 0, 1)
    return np.repeat(unit[..., None], 3, -1) if unit.ndim == 2 else unit


def before_after(before: NDArray[Any], after: NDArray[Any], caption: str, width: int = 480) -> Image.Image:
    """Before, after and what was removed, whole and as a detail enlarged four times.

    Both pictures of one shape, any photo type. The removed part is shown around middle gray, amplified so that three
    of its standard deviations span the scale. The detail is where most was removed outside the plain areas.
    """
    a, b = as_rgb(before), as_rgb(after)
    removed = a - b
    spread = float(removed.std())
    shown = np.clip(0.5 + removed * (0.5 / (3 * spread) if spread > 0 else 0), 0, 1)
    times = f"removed (x{0.5 / (3 * spread):.1f})" if spread > 0 else "removed (nothing)"
    panels = [("before", a), ("after", b), (times, shown)]
    side = min(width // ZOOM, *a.shape[:2])
    top, left = _detail(a, b, side)
    cut = (slice(top, top + side), slice(left, left + side))
    rows = [
        [(title, _fit(p, width)) for title, p in panels],
        [("", _enlarge(p[cut], max(1, width // side))) for _, p in panels],
    ]
    return _sheet(rows, caption)


def contact_sheet(pictures: Sequence[tuple[str, NDArray[Any]]], caption: str, width: int = 360) -> Image.Image:
    """Named pictures of one shape in rows of four: the detail with most structure, enlarged."""
    first = as_rgb(pictures[0][1])
    side = min(width // 2, *first.shape[:2])
    top, left = _detail(first, first, side)
    cut = (slice(top, top + side), slice(left, left + side))
    cells = [(title, _enlarge(as_rgb(picture[cut]), max(1, width // side))) for title, picture in pictures]
    return _sheet([cells[i : i + 4] for i in range(0, len(cells), 4)], caption)


def _detail(a: Unit, b: Unit, side: int) -> tuple[int, int]:
    """Corner of the square with the strongest edges in b times what was removed from a, kept off saturated areas."""
    step = max(1, side // 2)
    gray = b.mean(-1)
    edges = np.abs(np.diff(gray, axis=0, append=gray[-1:])) + np.abs(np.diff(gray, axis=1, append=gray[:, -1:]))
    change = np.abs(a - b).mean(-1) + 1e-4
    best, corner = -1.0, (0, 0)
    for top in range(0, a.shape[0] - side + 1, step):
        for left in range(0, a.shape[1] - side + 1, step):
            cut = (slice(top, top + side), slice(left, left + side))
            merit = float(np.sqrt(edges[cut].mean()) * change[cut].mean())
            if merit > best:
                best, corner = merit, (top, left)
    return corner


def _fit(picture: Unit, width: int) -> Image.Image:
    image = Image.fromarray(np.rint(picture * 255).astype(np.uint8))
    if image.width <= width:
        return image
    return image.resize((width, max(1, round(image.height * width / image.width))), Image.Resampling.BOX)


def _enlarge(picture: Unit, times: int) -> Image.Image:
    image = Image.fromarray(np.rint(picture * 255).astype(np.uint8))
    return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)


def _sheet(rows: Sequence[Sequence[tuple[str, Image.Image]]], caption: str) -> Image.Image:
    """Titled pictures in rows, with a caption below."""
    font, small = ImageFont.load_default(16), ImageFont.load_default(14)
    heights = [max(image.height for _, image in row) + (BAR if any(title for title, _ in row) else 0) for row in rows]
    width = max(sum(image.width + GAP for _, image in row) for row in rows) + GAP
    lines = _wrap(caption, small, width - 2 * GAP)
    sheet = Image.new("RGB", (width, sum(heights) + GAP * (len(rows) + 1) + 20 * len(lines) + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    y = GAP
    for row, height in zip(rows, heights, strict=True):
        x = GAP
        bar = BAR if any(title for title, _ in row) else 0
        for title, image in row:
            draw.text((x, y), title, INK, font)
            sheet.paste(image, (x, y + bar))
            x += image.width + GAP
        y += height + GAP
    for line in lines:
        draw.text((GAP, y), line, INK, small)
        y += 20
    return sheet


def _wrap(text: str, font: Any, width: int) -> list[str]:
    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and font.getlength(longer) > width:
            lines.append(line)
            longer = word
        line = longer
    return [*lines, line]


def picture_grid(pictures: NDArray[Any], gap: int = 2, least: int = 56) -> Image.Image:
    """Pictures (n, H, W, C) in [0, 1] in a grid as square as can be, small ones enlarged by repeating pixels."""
    n, height, width = pictures.shape[:3]
    columns = math.ceil(math.sqrt(n))
    times = max(1, math.ceil(least / max(height, width)))
    sheet = Image.new(
        "RGB", (columns * (width * times + gap) + gap, -(-n // columns) * (height * times + gap) + gap), INK
    )
    for i, picture in enumerate(pictures):
        shown = as_rgb(np.clip(picture[..., 0] if picture.shape[-1] == 1 else picture, 0, 1).astype(np.float32))
        place = (gap + i % columns * (width * times + gap), gap + i // columns * (height * times + gap))
        sheet.paste(_enlarge(shown, times), place)
    return sheet
