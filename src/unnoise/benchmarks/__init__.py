"""Speed and quality beside other libraries, measured in one run."""

BENCHMARKS: dict[str, tuple[str, str]] = {
    "photo": (
        "unnoise.benchmarks.photo:run",
        "colour photographs with Gaussian noise: PSNR, SSIM, seconds a megapixel",
    ),
    "photo-gray": ("unnoise.benchmarks.photo:run_gray", "the same in gray, beside DnCNN and BF-CNN too"),
    "large": (
        "unnoise.benchmarks.large:run",
        "a 12-megapixel file end to end at several tile sizes: seconds and memory",
    ),
    "large_cbsn": (
        "unnoise.benchmarks.large_cbsn:run",
        "the same with a C-BSN of the laptop's size",
    ),
    "int8": (
        "unnoise.benchmarks.int8:run",
        "the photo network in float32, bfloat16, fused and in 8 bits: PSNR, seconds a megapixel",
    ),
    "dilated": (
        "unnoise.benchmarks.dilated:run",
        "C-BSN's dilated convolutions beside dense ones on space-to-batch data: seconds a megapixel",
    ),
    "cubes": ("unnoise.benchmarks.cubes:run", "hyperspectral cubes beside HyDe: PSNR, spectral angle, seconds a cube"),
    "large_cube": (
        "unnoise.benchmarks.large_cube:run",
        "a cube of 10 GB from store to store in 2 GiB: seconds and memory",
    ),
    "raw": (
        "unnoise.benchmarks.raw:run",
        "noisy Bayer mosaics to colour, beside Malvar, Menon and demosaicnet: PSNR, seconds a megapixel",
    ),
    "wavelets": ("unnoise.benchmarks.wavelets:run", "the periodised wavelet transform of a 200-band cube, beside pywt"),
    "tiling": ("unnoise.benchmarks.tiling:run", "time and memory of exact tiling, beside the whole picture at once"),
    "samplers": (
        "unnoise.benchmarks.samplers:run",
        "what a step of each sampler costs beside the network, and a scheduler of diffusers",
    ),
    "guidance": ("unnoise.benchmarks.guidance:run", "guidance policies: evaluations, time and what they change"),
    "jacobian": ("unnoise.benchmarks.jacobian:run", "a denoiser's whole Jacobian, beside a loop over its rows"),
    "startup": ("unnoise.benchmarks.startup:run", "how long help, lists and usage errors take to appear"),
}
"""Name of a benchmark to its `module:function`, imported when it is run, and what it measures."""
