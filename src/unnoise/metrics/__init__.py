"""How good a result is: the field's measures under the field's conventions, with clipping and rounding as arguments."""

from unnoise.metrics.psnr import psnr
from unnoise.metrics.ssim import ssim

__all__ = ["psnr", "ssim"]
