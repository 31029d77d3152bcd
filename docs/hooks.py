"""Puts measured things into pages: `{{ papers }}`, `{{ report SLUG }}` and `{{ bench NAME }}`, from committed reports.

Run as a program it writes the table of papers into the README.
"""

import re
from pathlib import Path
from typing import Any

from unnoise.benchmarks.harness import BenchReport
from unnoise.studies.papers import REPORTS, papers
from unnoise.studies.report import Report

FIGURES = "assets/reports"
README = Path(__file__).parents[1] / "README.md"
MARKS = re.compile(r"(<!-- papers: .*? -->\n).*?(<!-- /papers -->)", re.DOTALL)


def on_files(files: Any, config: Any) -> Any:
    """Called by mkdocs before any page: the figures of committed reports become part of the site."""
    from mkdocs.structure.files import File

    for path in sorted(REPORTS.glob("*/*.webp")):
        name = f"{FIGURES}/{path.parent.name}/{path.name}"
        files.append(File.generated(config, name, content=path.read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Any = None, **_: object) -> str:
    """Called by mkdocs for each page before it is rendered."""
    up = "../" * page.file.src_uri.count("/") if page else ""
    markdown = markdown.replace("{{ papers }}", papers_table())
    markdown = re.sub(r"\{\{ bench ([\w-]+) \}\}", lambda m: _bench(m[1]), markdown)
    return re.sub(r"\{\{ report (\w+) \}\}", lambda m: _report(m[1], up), markdown)


def papers_table() -> str:
    """The papers with status and measured number, as Markdown."""
    rows = ["| paper | pillar | published | status | measured |", "| --- | --- | --- | --- | --- |"]
    for s in papers():
        p = s.paper
        link = f"[{p.title}](https://arxiv.org/abs/{p.arxiv})"
        rows.append(f"| {link} | {p.pillar} | {p.venue} | {s.word} | {s.measured} |")
    return "\n".join(rows)


def with_papers(readme: str) -> str:
    """The README's text with the table of papers between its marks."""
    return MARKS.sub(lambda m: f"{m[1]}{papers_table()}\n{m[2]}", readme)


def _report(slug: str, up: str) -> str:
    if not (REPORTS / slug / "report.json").exists():
        return f"Not measured yet: `unnoise reproduce {slug} -o {REPORTS.relative_to(README.parent)}` does it."
    return Report.load(REPORTS / slug / "report.json").to_markdown(f"{up}{FIGURES}/{slug}")


def _bench(name: str) -> str:
    path = Path(__file__).parent / "assets" / "bench" / f"{name}.json"
    if not path.exists():
        return f"Not measured yet: `unnoise bench {name} -o docs/assets/bench` does it."
    return BenchReport.load(path).to_markdown()


if __name__ == "__main__":
    README.write_text(with_papers(README.read_text(encoding="utf-8")), encoding="utf-8")
