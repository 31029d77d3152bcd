"""The twenty papers this library implements, and how far each has been measured here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unnoise.studies.report import Claim, Report, interval_text

REPORTS = Path(__file__).with_name("reports")


@dataclass(frozen=True)
class Paper:
    """One paper: the pillar it belongs to and where it was published; `arxiv` is its number there."""

    slug: str
    pillar: str
    title: str
    authors: str
    venue: str
    arxiv: str


@dataclass(frozen=True)
class Status:
    """What the committed report of a paper says, `None` as long as there is none."""

    paper: Paper
    report: Report | None

    @property
    def word(self) -> str:
        """`planned`, `checks failed`, or the count of each verdict."""
        if self.report is None:
            return "planned"
        if not self.report.checks_passed:
            return "checks failed"
        verdicts = [c.verdict for c in self.report.claims]
        counts = {v: verdicts.count(v) for v in ("reproduced", "not reproduced", "undecided")}
        return ", ".join(f"{n} {v}" for v, n in counts.items() if n) or "checks hold"

    @property
    def measured(self) -> str:
        """The first claim's number with its interval and the paper's, empty without one."""
        claims = self.report.claims if self.report else ()
        return _measured(claims[0]) if claims else ""


def papers(reports: Path = REPORTS) -> list[Status]:
    """Every paper, with its report under `reports/<slug>/report.json` where there is one.

    >>> len(papers())
    20
    """
    return [Status(p, _report(reports / p.slug / "report.json")) for p in PAPERS.values()]


def _report(path: Path) -> Report | None:
    return Report.load(path) if path.exists() else None


def _measured(claim: Claim) -> str:
    text = f"{claim.name}: {claim.value:.4g}"
    if claim.interval is not None:
        text += f" {interval_text(claim.interval)}"
    text += f" {claim.unit}".rstrip()
    return text + (f" (paper {claim.paper:.4g})" if claim.paper is not None else "")


_ALL = (
    Paper(
        "cbsn",
        "restore",
        "Self-supervised Image Denoising with Downsampled Invariance Loss and Conditional Blind-Spot Network",
        "Jang, Lee, Park, Kim, Cho",
        "ICCV 2023",
        "2304.09507",
    ),
    Paper(
        "eld",
        "restore",
        "A Physics-based Noise Formation Model for Extreme Low-light Raw Denoising",
        "Wei, Fu, Yang, Huang",
        "CVPR 2020",
        "2003.12751",
    ),
    Paper(
        "wild_jdd",
        "restore",
        "Joint Demosaicking and Denoising in the Wild: The Case of Training Under Ground Truth Uncertainty",
        "Chen, Wen, Chan",
        "AAAI 2021",
        "2101.04442",
    ),
    Paper(
        "hyde",
        "restore",
        "HyDe: The First Open-Source, Python-Based, GPU-Accelerated Hyperspectral Denoising Package",
        "Coquelin, Rasti, Götz, Ghamisi, Gloaguen, Streit",
        "WHISPERS 2022",
        "2204.06979",
    ),
    Paper(
        "uiec2",
        "restore",
        "UIEC^2-Net: CNN-based Underwater Image Enhancement Using Two Color Space",
        "Wang, Guo, Gao, Yue",
        "Signal Processing: Image Communication 96, 2021",
        "2103.07138",
    ),
    Paper(
        "tunable_conv",
        "restore",
        "Tunable Convolutions with Parametric Multi-Loss Optimization",
        "Maggioni, Tanay, Babiloni, McDonagh, Leonardis",
        "CVPR 2023",
        "2304.00898",
    ),
    Paper(
        "hnerv",
        "restore",
        "HNeRV: A Hybrid Neural Representation for Videos",
        "Chen, Gwilliam, Lim, Shrivastava",
        "CVPR 2023",
        "2304.02633",
    ),
    Paper(
        "weighted_conv",
        "restore",
        "Optimal Weighted Convolution for Classification and Denosing",
        "Cammarasana, Patanè",
        "arXiv 2025",
        "2505.24558",
    ),
    Paper(
        "adaptive_guidance",
        "generate",
        "Adaptive Guidance: Training-free Acceleration of Conditional Diffusion Models",
        "Castillo, Kohler, Pérez, Pérez, Pumarola, Ghanem, Arbeláez, Thabet",
        "AAAI 2025",
        "2312.12487",
    ),
    Paper(
        "gfmdiff",
        "generate",
        "Geometric-Facilitated Denoising Diffusion Model for 3D Molecule Generation",
        "Xu, Wang, Wang, Zheng, Chen",
        "AAAI 2024",
        "2401.02683",
    ),
    Paper(
        "genie",
        "generate",
        "Generating Novel, Designable, and Diverse Protein Structures by Equivariantly Diffusing Oriented "
        "Residue Clouds",
        "Lin, AlQuraishi",
        "ICML 2023",
        "2301.12485",
    ),
    Paper(
        "ptq4dm",
        "compress",
        "Post-training Quantization on Diffusion Models",
        "Shang, Yuan, Xie, Wu, Yan",
        "CVPR 2023",
        "2211.15736",
    ),
    Paper(
        "eda_dm",
        "compress",
        "EDA-DM: Enhanced Distribution Alignment for Post-Training Quantization of Diffusion Models",
        "Liu, Li, Xiao, Chen, Li, Gu",
        "arXiv 2024",
        "2401.04585",
    ),
    Paper(
        "fp_quant",
        "compress",
        "Low-Bitwidth Floating Point Quantization for Efficient High-Quality Diffusion Models",
        "Chen, Giannoula, Moshovos",
        "arXiv 2024",
        "2408.06995",
    ),
    Paper(
        "noprop",
        "learn",
        "NoProp: Training Neural Networks without Full Back-propagation or Full Forward-propagation",
        "Li, Teh, Pascanu",
        "arXiv 2025",
        "2503.24322",
    ),
    Paper(
        "rrcm",
        "learn",
        "Robust Representation Consistency Model via Contrastive Denoising",
        "Lei, Berner, Wang, Chen, Ba, Ren, Zhu, Anandkumar",
        "ICLR 2025",
        "2501.13094",
    ),
    Paper(
        "quickselection",
        "learn",
        "Quick and Robust Feature Selection: the Strength of Energy-efficient Sparse Training for Autoencoders",
        "Atashgahi, Sokar, van der Lee, E. Mocanu, D. C. Mocanu, Veldhuis, Pechenizkiy",
        "Machine Learning 111, 2022",
        "2012.00560",
    ),
    Paper(
        "galaxy_voting",
        "learn",
        "An Efficient Unsupervised Classification Model for Galaxy Morphology: Voting Clustering Based on "
        "Coding from ConvNeXt Large Model",
        "Fang, Dai, Lin, Zhou, Song, Gu, Guo, Mao, Kong",
        "Astronomy & Astrophysics 693, A141, 2025",
        "2501.00380",
    ),
    Paper(
        "score_estimation",
        "explain",
        "Neural Network-Based Score Estimation in Diffusion Models: Optimization and Generalization",
        "Han, Razaviyayn, Xu",
        "ICLR 2024",
        "2401.15604",
    ),
    Paper(
        "harmonic_bases",
        "explain",
        "Generalization in Diffusion Models Arises from Geometry-adaptive Harmonic Representations",
        "Kadkhodaie, Guth, Simoncelli, Mallat",
        "ICLR 2024",
        "2310.02557",
    ),
)

PAPERS: dict[str, Paper] = {p.slug: p for p in _ALL}
