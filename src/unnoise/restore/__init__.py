"""Make data clean: the table of methods. Importing it costs nothing; a method's libraries load when it is built."""

from __future__ import annotations

from unnoise.restore.method import Method

__all__ = ["METHODS", "Method"]

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            "dct",
            "sliding-window DCT: hard thresholding, then an empirical Wiener filter; white or coloured noise",
            "unnoise.restore.classical_dct:SlidingDCT",
            "Gaussian, white or spatially correlated",
            "Yu and Sapiro 2011, IPOL; Wiener stage of Pierazzo et al. 2017, IPOL (ours, on torch)",
        ),
        Method(
            "cbsn",
            "conditional blind-spot network: learns from your noisy pictures alone (--adapt)",
            "unnoise.restore.cbsn_training:trained",
            "any of one camera or microscope, also correlated over a few pixels",
            "Jang et al. 2023, ICCV (ours, on torch)",
            needs_sigma=False,
            adapt="unnoise.restore.cbsn_training:adapt",
        ),
        Method(
            "nlm",
            "non-local means: averages pixels whose surroundings look alike",
            "unnoise.restore.classical:NonLocalMeans",
            "Gaussian, independent between pixels",
            "Buades, Coll and Morel 2005, CVPR (scikit-image)",
        ),
        Method(
            "wavelet",
            "soft thresholding of wavelet subbands (BayesShrink), averaged over shifts",
            "unnoise.restore.classical:Wavelet",
            "Gaussian, independent between pixels",
            "Chang, Yu and Vetterli 2000, IEEE TIP (scikit-image)",
        ),
        Method(
            "tv",
            "total variation: flat regions with sharp edges",
            "unnoise.restore.classical:TotalVariation",
            "Gaussian; cartoons, diagrams, strong noise",
            "Chambolle 2004, JMIV (scikit-image)",
        ),
        Method(
            "bilateral",
            "averages near pixels of like colour; the fastest",
            "unnoise.restore.classical:Bilateral",
            "weak Gaussian noise, when time is short",
            "Tomasi and Manduchi 1998, ICCV (OpenCV)",
        ),
        Method(
            "median",
            "replaces pixels that are impulses by the median of their sound neighbours; leaves the others alone",
            "unnoise.restore.classical:Median",
            "impulses: salt and pepper, hot and dead pixels",
            "Sun and Neuvo 1994, Pattern Recognition Letters (NumPy; OpenCV when not selective)",
            needs_sigma=False,
        ),
    )
}
"""Name -> method, the best for ordinary noise first. A new method is one file and one entry here."""
