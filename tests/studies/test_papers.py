"""The list of papers: twenty, five pillars, status from reports and never typed."""

import re
from collections import Counter

from unnoise.studies.papers import PAPERS, papers
from unnoise.studies.report import Check, Claim, Criterion, Report


def test_twenty_papers_in_five_pillars():
    assert Counter(p.pillar for p in PAPERS.values()) == {
        "restore": 8,
        "generate": 3,
        "compress": 3,
        "learn": 4,
        "explain": 2,
    }


def test_every_paper_can_be_found():
    assert len({p.arxiv for p in PAPERS.values()}) == 20
    for paper in PAPERS.values():
        assert re.fullmatch(r"\d{4}\.\d{5}", paper.arxiv)
        assert re.search(r"20\d\d", paper.venue)
        assert paper.title and paper.authors


def test_status_comes_from_the_report(tmp_path):
    claim = Claim("gain", 1.25, Criterion(at_least=1.0), (1.1, 1.4), paper=0.85, unit="dB")
    lost = Claim("speed", 0.5, Criterion(at_least=1.0), (0.4, 0.6))
    good = Report("cbsn", "laptop", "c", (0,), 1.0, checks=(Check("c", 0.0, 1.0),), claims=(claim, lost))
    bad = Report("eld", "laptop", "c", (0,), 1.0, checks=(Check("c", 2.0, 1.0),), claims=(claim,))
    good.save(tmp_path / "cbsn" / "report.json")
    bad.save(tmp_path / "eld" / "report.json")
    status = {s.paper.slug: s for s in papers(tmp_path)}
    assert status["cbsn"].word == "1 reproduced, 1 not reproduced"
    assert status["cbsn"].measured == "gain: 1.25 [1.1, 1.4] dB (paper 0.85)"
    assert status["eld"].word == "checks failed"
    assert (status["hyde"].word, status["hyde"].measured) == ("planned", "")
