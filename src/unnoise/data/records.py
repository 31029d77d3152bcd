"""Small JSON records (reports, benchmarks, manifests), written whole or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unnoise.data.files import write_whole


def write_json(path: str | Path, values: Mapping[str, Any]) -> Path:
    """Write `values` to `path`, replacing an earlier record at once; missing folders are made.

    JSON has no infinity and no NaN: such floats become the words "inf", "-inf" and "nan", which `float` reads back.

    >>> import tempfile
    >>> write_json(Path(tempfile.mkdtemp()) / "runs" / "a.json", {"psnr": math.inf}).read_text()
    '{\\n "psnr": "inf"\\n}\\n'
    """
    text = json.dumps(_finite(values), indent=1, allow_nan=False)
    return write_whole(path, f"{text}\n".encode())


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
