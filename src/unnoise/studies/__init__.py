"""Studies measure what a method is worth: `run(preset)` gives a report with checks and claims."""

STUDIES: dict[str, str] = {
    "adaptive_guidance": "unnoise.studies.adaptive_guidance:run",
    "cbsn": "unnoise.studies.cbsn:run",
    "diffusion_core": "unnoise.studies.diffusion_core:run",
    "eld": "unnoise.studies.eld:run",
    "harmonic_bases": "unnoise.studies.harmonic_bases:run",
    "hyde": "unnoise.studies.hyde:run",
    "methods": "unnoise.studies.methods:run",
    "photo": "unnoise.studies.photo:run",
    "score_estimation": "unnoise.studies.score_estimation:run",
    "wild_jdd": "unnoise.studies.wild_jdd:run",
}
"""Slug of a study to its `module:function`, imported when it is run."""
