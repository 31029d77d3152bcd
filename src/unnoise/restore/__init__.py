"""Make data clean: the table of methods. Importing it costs nothing; a method's libraries load when it is built."""

from __future__ import annotations

from unnoise.restore.method import Method

__all__ = ["METHODS", "Method"]

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            "photo",
            "a trained network told the noise level; the best for noise independent between pixels",
            "unnoise.restore.photo:trained",
            "Gaussian, independent between pixels",
            "bias-free U-Net (ours); no biases: Mohan et al. 2020, ICLR",
        ),
        Method(
            "photo-real",
            "a trained network for photographs as cameras deliver them; finds the noise by itself",
            "unnoise.restore.photo:trained_real",
            "of cameras: dependent on brightness, shared by neighbours, with JPEG on top",
            "bias-free U-Net (ours), trained through simulated cameras: Brooks et al. 2019, CVPR",
            needs_sigma=False,
        ),
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
        Method(
            "fasthyde",
            "cleans the eigen-images of a cube with a denoiser of pictures",
            "unnoise.restore.hyde.fasthyde:FastHyDe",
            "Gaussian, of any level in each band; photons with noise=poisson",
            "Zhuang and Bioucas-Dias 2018, IEEE JSTARS 11(3)",
            kinds=("cube",),
            needs_sigma=False,
        ),
        Method(
            "l1hymixde",
            "eigen-images of a cube, with impulses, stripes and dead lines taken apart by the l1 norm",
            "unnoise.restore.hyde.l1hymixde:L1HyMixDe",
            "Gaussian with impulses, stripes, dead lines",
            "Zhuang and Ng 2020, IEEE JSTARS 13",
            kinds=("cube",),
            needs_sigma=False,
        ),
        Method(
            "hyres",
            "principal components of a cube, thresholded in wavelet sub-bands; nothing to tune, quick",
            "unnoise.restore.hyde.hyres:HyRes",
            "Gaussian, of any level in each band",
            "Rasti, Ulfarsson and Ghamisi 2017, IEEE GRSL 14(12)",
            kinds=("cube",),
            needs_sigma=False,
        ),
        Method(
            "hyminor",
            "hyres, then smooth spectra by the l1 norm",
            "unnoise.restore.hyde.hyminor:HyMiNoR",
            "Gaussian with some sparse noise",
            "Rasti, Ghamisi and Benediktsson 2020, IEEE GRSL 17(3)",
            kinds=("cube",),
            needs_sigma=False,
        ),
        Method(
            "wsrrr",
            "a cube as few sparse wavelet images times spectra",
            "unnoise.restore.hyde.wsrrr:WSRRR",
            "Gaussian, of any level in each band",
            "Rasti, Sveinsson and Ulfarsson 2014, IEEE TGRS 52(10)",
            kinds=("cube",),
            needs_sigma=False,
        ),
        Method(
            "otvca",
            "a cube as few images of small total variation times spectra; the images are features, too",
            "unnoise.restore.hyde.otvca:OTVCA",
            "Gaussian; scenes with sharp borders",
            "Rasti, Ulfarsson and Sveinsson 2016, IEEE TGRS 54(12)",
            kinds=("cube",),
            needs_sigma=False,
        ),
        Method(
            "forpdn",
            "smooth spectra, full rank: rare materials stay",
            "unnoise.restore.hyde.forpdn:FORPDN",
            "Gaussian, of any level in each band",
            "Rasti, Sveinsson, Ulfarsson and Benediktsson 2014, IEEE JSTARS 7(6)",
            kinds=("cube",),
            needs_sigma=False,
        ),
        Method(
            "neural",
            "a trained network for cubes of any number of bands; finds the noise by itself",
            "unnoise.restore.hyde.neural:trained",
            "what its training had: Gaussian of one level in all bands, or mixed",
            "Coquelin et al. 2022, WHISPERS; qrnn2d: Wei, Fu and Huang 2020, TNNLS (ours, on torch)",
            kinds=("cube",),
            needs_sigma=False,
        ),
        Method(
            "fasthyin",
            "fasthyde on cubes with missing values, which it fills",
            "unnoise.restore.hyde.fasthyde:FastHyIn",
            "Gaussian, with missing values",
            "Zhuang and Bioucas-Dias 2018, IEEE JSTARS 11(3)",
            kinds=("cube",),
            needs_sigma=False,
        ),
    )
}
"""Name -> method, the best for ordinary noise first. A new method is one file and one entry here."""
