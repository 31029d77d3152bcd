"""Puts measured things into pages: `{{ papers }}` and `{{ report SLUG }}` come from the committed reports."""

import re

from unnoise.studies.papers import REPORTS, papers
from unnoise.studies.report import Report


def on_page_markdown(markdown: str, **_: object) -> str:
    """Called by mkdocs for each page before it is rendered."""
    markdown = markdown.replace("{{ papers }}", _papers())
    return re.sub(r"\{\{ report (\w+) \}\}", lambda m: _report(m[1]), markdown)


def _papers() -> str:
    rows = ["| paper | pillar | published | status | measured |", "| --- | --- | --- | --- | --- |"]
    for s in papers():
        p = s.paper
        title = f"{p.title}<br><small>{p.authors}; arXiv {p.arxiv}</small>"
        rows.append(f"| {title} | {p.pillar} | {p.venue} | {s.word} | {s.measured} |")
    return "\n".join(rows)


def _report(slug: str) -> str:
    return Report.load(REPORTS / slug / "report.json").to_markdown()
