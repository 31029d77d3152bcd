"""Studies measure what a method is worth: `run(preset)` gives a report with checks and claims."""

STUDIES: dict[str, str] = {
    "classical": "unnoise.studies.classical:run",
    "hyde": "unnoise.studies.hyde:run",
}
"""Slug of a study to its `module:function`, imported when it is run."""
