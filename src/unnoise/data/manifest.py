"""What of a long work is done, in a file beside its result, so that it can go on after it was stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unnoise.data.records import write_json
from unnoise.errors import InputError

_EVERY = 1.0  # seconds between two writes of the file


class Manifest:
    """Facts that must be the same when the work goes on, notes, and the pieces of each step that are done.

    A piece is marked after its result is on disk, and the file is replaced at once, so one that was half written is
    never counted. It may lag a second behind: then the last pieces are done again.

    Parameters
    ----------
    path : of the JSON file.
    facts : names and values; "input" may be a mapping.
    resume : go on with what an earlier file says.

    Raises
    ------
    InputError : the earlier work was another one, or its file is damaged.
    """

    def __init__(self, path: Path, facts: Mapping[str, Any], resume: bool = False) -> None:
        self.path = path
        self.facts: dict[str, Any] = json.loads(json.dumps(facts))
        self.notes: dict[str, Any] = {}
        self._done: dict[str, dict[str, Any]] = {}
        self._saved = 0.0
        if resume and path.exists():
            self._load()

    def done(self, step: str) -> dict[int, Any]:
        """Pieces of a step that are done, with what was said of each.

        >>> import tempfile
        >>> m = Manifest(Path(tempfile.mkdtemp()) / "a.json", {"k": 3})
        >>> m.mark("write", 4, "whole"); m.save()
        >>> Manifest(m.path, {"k": 3}, resume=True).done("write")
        {4: 'whole'}
        """
        return {int(piece): said for piece, said in self._done.get(step, {}).items()}

    def mark(self, step: str, piece: int, said: Any = None) -> None:
        """A piece of a step is done."""
        self._done.setdefault(step, {})[str(piece)] = said
        if time.monotonic() - self._saved > _EVERY:
            self.save()

    def save(self) -> None:
        """Write the file now."""
        write_json(self.path, {"facts": self.facts, "notes": self.notes, "done": self._done})
        self._saved = time.monotonic()

    def _load(self) -> None:
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            facts, self.notes, self._done = found["facts"], found["notes"], found["done"]
        except (ValueError, KeyError, OSError) as error:
            raise InputError(f"{self.path} is damaged: begin anew with --overwrite") from error
        for name in {**facts, **self.facts}:
            before, now = facts.get(name), self.facts.get(name)
            if before == now:
                continue
            if name == "input":
                raise InputError("the input has changed since the work was begun: begin anew with --overwrite")
            raise InputError(
                f"the work was begun with {name} {_shown(before)}, not {_shown(now)}: give the same, or begin anew "
                f"with --overwrite"
            )


def _shown(value: Any) -> str:
    return "unset" if value in (None, {}, []) else str(value)
