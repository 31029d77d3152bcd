"""The data sets that studies, training and benchmarks read: where they come from, and under which licence.

None is part of the package. The hash is the first 24 digits of the SHA-256 of the file, or of the folder as
`catalog.tree_hash` computes it.
"""

from __future__ import annotations

from typing import NamedTuple


class DataSet(NamedTuple):
    """One data set: key, place under the root, licence as its source states it, source, hash, files, purpose.

    Hash and files are empty for one that is read but was never at hand to be counted.
    """

    name: str
    path: str
    licence: str
    source: str
    sha256: str
    files: int
    used_for: str


_BSD = "research and education use, cite Martin et al. ICCV 2001 and Arbelaez et al. TPAMI 2011"

DATASETS: dict[str, DataSet] = {
    entry.name: entry
    for entry in (
        DataSet(
            "set12",
            "clean_test/Set12",
            "none stated (classical test images)",
            "cszn/FFDNet: testsets/Set12",
            "96d8977dd94f1bfb0e88eba8",
            12,
            "gray denoising tests (DnCNN protocol)",
        ),
        DataSet(
            "bsd68",
            "clean_test/BSD68",
            _BSD,
            "cszn/FFDNet: testsets/BSD68",
            "7e995bb5cea82c17655bd65d",
            68,
            "gray denoising tests (DnCNN protocol)",
        ),
        DataSet(
            "cbsd68",
            "clean_test/CBSD68",
            _BSD,
            "cszn/FFDNet: testsets/CBSD68",
            "011a269280d92cc9b10ce2c3",
            68,
            "colour denoising tests",
        ),
        DataSet(
            "mcmaster",
            "clean_test/McMaster",
            "none stated (Zhang, Wu, Buades, Li 2011, research use)",
            "cszn/FFDNet: testsets/McMaster",
            "f835485077f920d9f8c0131f",
            18,
            "colour denoising and demosaicking tests",
        ),
        DataSet(
            "set14",
            "clean_test/Set14",
            "none stated (Zeyde et al. 2010)",
            "cszn/IRCNN: testsets/Set14",
            "ccc6671aeb5ac25da18d2806",
            14,
            "extra tests; shares pictures with Set12",
        ),
        DataSet(
            "bsd431",
            "clean_train/BSD431",
            _BSD,
            "BIDS/BSDS500: BSDS500/data/images",
            "556ff72ce9b424e13dea5859",
            431,
            "training; the last 31 by name for validation",
        ),
        DataSet(
            "cid22",
            "clean_train/CID22",
            "CC BY-SA 4.0, (c) Cloudinary, photographs from Pexels",
            "imazen/codec-corpus: CID22/CID22-512/training",
            "5322c60e83be506d1fb3b1a5",
            100,
            "training; the last 10 by name for validation",
        ),
        DataSet(
            "clic2025",
            "clean_train/CLIC2025",
            "Unsplash License",
            "imazen/codec-corpus: clic2025",
            "798dfbd15fd76cda6cebbd35",
            24,
            "training",
        ),
        DataSet(
            "wallpapers",
            "clean_train/wallpapers",
            "per file: CC BY 4.0, CC BY-SA 3.0 or 4.0, CC0, GPL-2+, Unsplash; some unverified",
            "wallpapers of lomiri, mate, elementary, pop-os and deepin",
            "5a18d691bf751b8f7265c8f8",
            40,
            "training",
        ),
        DataSet(
            "polyu",
            "real_noise/PolyU",
            "BSD-like, redistribution non-commercial only, (c) 2018 The Hong Kong Polytechnic University",
            "csjunxu/PolyU-Real-World-Noisy-Images-Dataset: CroppedImages",
            "8eb96c27c4e8df94a14d2d73",
            146,
            "real camera noise, split by subject",
        ),
        DataSet(
            "cc15",
            "real_noise/CC15",
            "non-commercial; images from Nam et al. CVPR 2016",
            "csjunxu/MCWNNM-ICCV2017: Real_ccnoise_denoised_part",
            "5438802a9d936db3291f517d",
            30,
            "real camera noise, reporting only",
        ),
        DataSet(
            "rni15",
            "real_noise/RNI15",
            "none stated (Lebrun et al. 2015 and others)",
            "cszn/FFDNet: testsets/RNI15",
            "93edca231b723d88ab4eac25",
            15,
            "real noise without ground truth, for looking",
        ),
        DataSet(
            "w2s",
            "real_noise/W2S",
            "none stated (EPFL, research); the repository is GPL-3.0",
            "ND-HowardGroup/Instant-Image-Denoising: W2S_dataset_8bit",
            "e8441b87e93dd92cab3cc143",
            56,
            "real fluorescence microscopy noise",
        ),
        DataSet(
            "fmd",
            "real_noise/FMD",
            "GPL-3.0 repository; FMD (Zhang et al. CVPR 2019)",
            "ND-HowardGroup/Instant-Image-Denoising: Test_images/2D_images",
            "74116a558688cee8b71e4d99",
            4,
            "real microscopy noise, smoke test",
        ),
        DataSet(
            "openisp",
            "raw/openisp_1920x1080_rggb_10bit.png",
            "MIT",
            "QiuJueqin/fast-openISP: raw/test.RAW",
            "d3b0ce182ad91e5f3206b1b9",
            1,
            "raw mosaic, real sensor noise",
        ),
        DataSet(
            "nikon",
            "raw/nikon_dsc1339_768x512_rggb_14bit.png",
            "MIT",
            "mushfiqulalam/isp: images",
            "aeb8ccec3a245fa06385427d",
            1,
            "raw mosaic",
        ),
        DataSet(
            "aisp_s7",
            "raw/aisp_s7_x90_3_4_packed_rggb_512x512x4.npz",
            "none stated",
            "mv-lab/AISP: samples/x90_3_4.npy",
            "a425944ad01c8e3fdeb4b9ac",
            1,
            "packed raw input",
        ),
        DataSet(
            "colorchart",
            "raw/colorchart.dng",
            "MIT repository; the image itself unverified",
            "syoyo/tinydngloader: colorchart.dng",
            "592dba160b03770752667847",
            1,
            "DNG reading, photon transfer",
        ),
        DataSet(
            "kodak_dc50",
            "raw/RAW_KODAK_DC50.KDC",
            "MIT repository (rawsamples archive)",
            "letmaik/rawpy: test",
            "37e290dbd0053f00e508d02a",
            1,
            "raw decoder test",
        ),
        DataSet(
            "eld_cameras",
            "raw/eld_camera_params",
            "MIT",
            "Vandermode/ELD: camera_params/release",
            "4a43d1162884e88b5b1100ea",
            5,
            "calibrated noise of five cameras (eld)",
        ),
        DataSet(
            "ccd_frames",
            "raw/ccd_frames",
            "BSD-3-Clause",
            "mwcraig/msumastro and astropy/ccdproc",
            "2151d66a98663b105faeac6e",
            9,
            "bias and flat frames (eld)",
        ),
        DataSet(
            "emva1288",
            "emva1288_set001",
            "CC BY-SA 3.0, Basler AG and M. Grimm 2011",
            "EMVA1288/datasets: EMVA1288_ReferenceSet_001_CCD_12Bit",
            "4249a87d6d91dc452b0d4717",
            120,
            "photon transfer and dark frames (eld)",
        ),
        DataSet(
            "sid_sony",
            "SID/Sony",
            "MIT repository; the photographs for research",
            "cchen156/Learning-to-See-in-the-Dark: Sony",
            "",
            0,
            "low-light raw pairs (eld)",
        ),
        DataSet(
            "eld",
            "ELD",
            "MIT repository; the photographs for research",
            "Vandermode/ELD: ELD dataset",
            "",
            0,
            "low-light raw pairs of four cameras (eld)",
        ),
        DataSet(
            "astro",
            "misc/astro",
            "BSD-3-Clause, NASA public and LGPL/BSD/MIT, per file",
            "astropy/photutils-datasets and kbarbary/sep",
            "2d48eaf6fa3d1f1ddadb708a",
            5,
            "FITS, heavy tails",
        ),
        DataSet(
            "hyperspectral",
            "hyperspectral",
            "per file: none stated, MIT",
            "per file, see its LICENSES.md",
            "c6668bcc0f922fc4824c8189",
            7,
            "cubes (hyde)",
        ),
        DataSet(
            "underwater",
            "underwater/euvp_samples",
            "MIT repository; pictures for research",
            "xahidbuffon/FUnIE-GAN: data/test",
            "6d48f33c5b2c425df7e6db0f",
            52,
            "underwater enhancement (uiec2)",
        ),
        DataSet(
            "bunny",
            "video/bunny_320x640",
            "CC BY 3.0, (c) 2008 Blender Foundation, www.bigbuckbunny.org",
            "haochen-rye/HNeRV: data/bunny",
            "dd48e2c31fb397fcb028cd18",
            32,
            "video coding (hnerv)",
        ),
        DataSet(
            "mnist",
            "mnist",
            "CC BY-SA 3.0 as commonly distributed, (c) Yann LeCun and Corinna Cortes",
            "karpathy/convnetjs: demo/mnist",
            "eb9b421a048b0795eab17a29",
            5,
            "digits (noprop, rrcm, quantised samplers)",
        ),
        DataSet(
            "feature_selection",
            "feature_selection",
            "CC BY 4.0 (UCI Machine Learning Repository)",
            "jundongl/scikit-feature: skfeature/data",
            "35e5152ec0d5cde92c1669ff",
            3,
            "Madelon and Isolet (quickselection)",
        ),
        DataSet(
            "galaxies",
            "galaxies",
            "public domain (NASA, ESA) and BSD-3-Clause",
            "scikit-image and GalSim-developers/GalSim",
            "e72a0244e7c3c1d5b149f889",
            5,
            "galaxies (galaxy_voting)",
        ),
        DataSet(
            "molecules",
            "molecules",
            "MIT package; QM9 published as open data",
            "PyPI qm9pack 1.0.3",
            "1465af90c9cd41197354edd6",
            3,
            "QM9 (gfmdiff)",
        ),
        DataSet(
            "proteins",
            "proteins",
            "CC0 1.0 (PDB); SCOPe/ASTRAL free with citation",
            "sbl-sdsc/mmtf-pyspark and steineggerlab/foldseek",
            "23b8d083fc5441bdef89c347",
            7,
            "protein chains (genie)",
        ),
        DataSet(
            "reference_weights",
            "weights",
            "per file: GPL-3.0, MIT, Apache-2.0, none stated",
            "per file, see its LICENSES.md",
            "dbdd8cd9aea7f5eec5ff0953",
            8,
            "reference denoisers for comparison",
        ),
    )
}
