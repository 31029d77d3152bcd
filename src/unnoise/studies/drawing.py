"""Figures of reports: an empty canvas, and its WebP bytes."""

from __future__ import annotations

import io
from typing import Any


def canvas(width: float, height: float) -> Any:
    """A matplotlib figure of that size in inches that needs no screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def to_webp(figure: Any) -> bytes:
    """The drawn figure as WebP, small enough for the repository."""
    out = io.BytesIO()
    figure.savefig(out, format="webp", pil_kwargs={"quality": 80, "method": 6})
    return out.getvalue()
