"""Hyperspectral cubes: the eight low-rank and wavelet methods of HyDe (Coquelin et al. 2022), one file a method.

Cubes are `(B, bands, H, W)` float32 of any scale. Every method finds the noise of each band by itself unless `sigma`
is given, one number or one a band `(1, bands, 1, 1)`, and looks at the whole cube (`card.reach` is `None`).
"""
