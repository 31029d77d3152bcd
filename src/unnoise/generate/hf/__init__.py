"""Hugging Face diffusers, both ways: its checkpoints as denoisers, ours in its pipelines, Adaptive Guidance in both.

Needs the extra 'diffusers'. Nothing here goes to the network: folders are read where they are.
"""

from unnoise.errors import MissingExtra

try:
    import diffusers as _diffusers
except ImportError:
    raise MissingExtra("diffusers") from None

from unnoise.generate.hf.guider import AdaptiveGuidance
from unnoise.generate.hf.linear import fit_linear_pipeline
from unnoise.generate.hf.load import from_diffusers
from unnoise.generate.hf.network import Network, save, to_scheduler
from unnoise.generate.hf.process import Process, grid, process
from unnoise.generate.hf.scheduler import Scheduler
from unnoise.generate.hf.wrap import Wrapped, wrap_denoiser

del _diffusers

__all__ = [
    "AdaptiveGuidance",
    "Network",
    "Process",
    "Scheduler",
    "Wrapped",
    "fit_linear_pipeline",
    "from_diffusers",
    "grid",
    "process",
    "save",
    "to_scheduler",
    "wrap_denoiser",
]
