"""Training batches: pure functions of seed and step, fair to pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unnoise.data.crops import Crops, load_crops
from unnoise.data.photo import Photo, write_photo
from unnoise.errors import InputError

RNG = np.random.default_rng(0)
PHOTOS = Crops([RNG.integers(0, 256, (50, 70, 3), np.uint8), RNG.integers(0, 256, (40, 33, 3), np.uint8)])


@settings(max_examples=25, deadline=None)
@given(k=st.integers(0, 10**9), seed=st.integers(0, 2**31), downscale=st.sampled_from([1.0, 1.5]))
def test_a_batch_depends_on_seed_and_step_alone(k, seed, downscale):
    first = PHOTOS.batch(k, 3, 16, seed, downscale)
    PHOTOS.batch(k + 1, 5, 8, seed)
    assert torch.equal(first, PHOTOS.batch(k, 3, 16, seed, downscale))
    assert not torch.equal(first, PHOTOS.batch(k + 1, 3, 16, seed, downscale))
    assert not torch.equal(first, PHOTOS.batch(k, 3, 16, seed + 1, downscale))


def test_shape_type_range_and_memory_format():
    batch = PHOTOS.batch(0, 4, 24)
    assert batch.shape == (4, 3, 24, 24) and batch.dtype == torch.float32
    assert batch.min() >= 0 and batch.max() <= 1
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_every_crop_is_a_flip_or_rotation_of_a_piece():
    image = np.arange(9 * 9, dtype=np.uint8).reshape(9, 9, 1)  # every value once
    crops = Crops([image])
    seen = set()
    for k in range(60):
        piece = np.rint(crops.batch(k, 1, 2)[0, 0].numpy() * 255).astype(int)
        steps = (piece[1, 0] - piece[0, 0], piece[0, 1] - piece[0, 0])
        assert sorted(map(abs, steps)) == [1, 9]
        seen.add(steps)
    assert len(seen) == 8


def test_photographs_are_drawn_by_their_pixels_and_small_ones_left_out():
    crops = Crops(
        [np.full((40, 40, 1), 0, np.uint8), np.full((40, 120, 1), 255, np.uint8), np.full((9, 999, 1), 99, np.uint8)]
    )
    values = crops.batch(0, 2000, 10)[:, 0, 0, 0]
    assert values.unique().tolist() == [0, 1]
    assert float(values.mean()) == pytest.approx(0.75, abs=0.04)
    with pytest.raises(InputError, match="no photograph has 200 x 200 pixels: choose a smaller crop"):
        crops.batch(0, 1, 200)


def test_downscaled_crops_have_less_noise():
    noise = Crops([RNG.integers(0, 256, (300, 300, 3), np.uint8)])
    plain, shrunk = noise.batch(0, 64, 32).std(dim=(1, 2, 3)), noise.batch(0, 64, 32, downscale=3).std(dim=(1, 2, 3))
    assert plain.min() > 0.27
    assert 0.3 < float((shrunk < 0.26).float().mean()) < 0.6  # half of the crops, those with a factor near 1 excepted


def test_softened_crops_lose_noise_and_keep_their_size():
    noise = Crops([RNG.integers(0, 256, (300, 300, 3), np.uint8)])
    soft = noise.batch(0, 64, 32, soften=2)
    assert soft.shape == (64, 3, 32, 32)
    steps, plain = ((b[..., 1:] - b[..., :-1]).std(dim=(1, 2, 3)) for b in (soft, noise.batch(0, 64, 32)))
    assert 0.3 < float((steps < 0.8 * plain.min()).float().mean()) < 0.6  # half, those with a factor near 1 excepted


def test_loading_takes_any_photo(tmp_path):
    gray = np.full((20, 30), 51, np.uint8)
    write_photo(tmp_path / "a.png", Photo(gray))
    write_photo(tmp_path / "b.tif", Photo(np.full((20, 30, 3), [65535, 0, 0], np.uint16)))
    write_photo(tmp_path / "c.npy", Photo(np.full((20, 30), 0.2, np.float32)))
    told = []
    crops = load_crops([tmp_path], progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert [image[0, 0].tolist() for image in crops.images] == [[51, 51, 51], [255, 0, 0], [51, 51, 51]]
    luma = load_crops([tmp_path], channels=1)
    assert [image[0, 0].tolist() for image in luma.images] == [[51], [76], [51]]
    with pytest.raises(InputError, match="1 or 3 channels"):
        load_crops([tmp_path], channels=2)
