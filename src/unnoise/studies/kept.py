"""Where the networks of a study stay, so that one that was stopped goes on, and one that is done is only measured."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def kept(folder: str | None) -> Iterator[Path]:
    """The folder, or one that goes when the study is over."""
    if folder is not None:
        yield Path(folder)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)


def key(shape: Any, *data: bytes) -> str:
    """Twelve digits that change with everything that shapes a network: options as JSON types, and data.

    >>> key({"steps": 3}) == key({"steps": 3}), key({"steps": 3}) == key({"steps": 3}, b"x")
    (True, False)
    """
    return hashlib.sha256(json.dumps(shape).encode() + b"".join(data)).hexdigest()[:12]
