"""Learning curves of the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from unnoise.studies.cbsn.nets import OUTPUTS, SHORT, WATCHED, WATCHED_SIDE, Trained
from unnoise.studies.drawing import canvas, to_webp
from unnoise.studies.report import Figure


def curves_figure(sets: Mapping[str, tuple[float, Mapping[str, Sequence[Trained]]]]) -> Figure:
    """PSNR against steps on every set, a line an output, mean over seeds; dashed: the noisy pictures."""
    figure = canvas(3.4 * len(sets), 3.6)
    for i, (key, (noisy, trained)) in enumerate(sets.items()):
        axes = figure.add_subplot(1, len(sets), i + 1)
        for colour, (output, (name, mode)) in enumerate(OUTPUTS.items()):
            curves = [[(row["step"], row[SHORT[mode]]) for row in t.curve] for t in trained.get(name, ())]
            if curves:
                steps = [step for step, _ in curves[0]]
                axes.plot(
                    steps, [fmean(dict(c)[step] for c in curves) for step in steps], color=f"C{colour}", label=output
                )
        axes.axhline(noisy, color="0.5", linestyle="--", label="noisy")
        axes.set(title=key, xlabel="steps", ylabel="PSNR (dB)" if i == 0 else None)
        if i == 0:  # under all of them, where it hides no curve
            figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=8)
    caption = (
        f"PSNR as training goes on, mean over seeds, on the first {WATCHED} pictures of a set, at most {WATCHED_SIDE} "
        "pixels of their middle; dashed: all noisy pictures of the set"
    )
    return Figure("curves", caption, to_webp(figure))
