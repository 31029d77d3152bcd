"""Turns docstrings into Markdown for the API pages: `name : meaning` lists under headings, and fenced examples."""

import re
from typing import Any

from griffe import Extension, Object

ITEM = re.compile(r"([\w*, ]+?) : (.*)")


class Docstrings(Extension):
    """Sections stay what they are in the source; only their marks change."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called by griffe for each module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(text: str) -> str:
    """The docstring as Markdown: headings bold, `name : meaning` lines as a list, examples fenced."""
    lines = [*text.splitlines(), ""]
    out: list[str] = []
    in_section = in_example = False
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if in_example and not line.strip():
            in_example = False
            out.append("```")
        if not in_example and line.startswith(">>> "):
            in_example = True
            out += ["", "```pycon"]
        item = ITEM.fullmatch(line)
        if re.fullmatch("-{3,}", following) and line.strip():
            in_section = True
            out += [f"**{line}**", ""]
        elif in_section and not in_example and item:
            out.append(f"- `{item[1]}`: {item[2]}")
        elif not re.fullmatch("-{3,}", line):
            out.append(line)
    return "\n".join(out).strip()
