"""Damaged files: a photo or one clear error, nothing else, and not a word on stderr."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unnoise.data.photo import Photo, read_photo, write_photo
from unnoise.errors import InputError, UnnoiseError


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Cut short, overwritten in a few places, with a piece taken out or a piece doubled."""
    data = bytearray(content)
    what = rng.randrange(5)
    if what == 0:
        del data[rng.randrange(1, len(data)) :]
    elif what == 1:
        for _ in range(rng.choice((1, 1, 2, 8, 50))):
            data[rng.randrange(len(data))] = rng.randrange(256)
    elif what == 2:
        at = rng.randrange(len(data))
        del data[at : at + rng.randrange(1, 40)]
    elif what == 3:
        at = rng.randrange(min(len(data), 200))  # the header is where the traps are
        data[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\1\0"))
    else:
        at = rng.randrange(len(data))
        data[at:at] = data[at : at + rng.randrange(1, 100)]
    return bytes(data)


def read_or_refuse(path: Path) -> None:
    try:
        photo = read_photo(path, max_pixels=4_000_000)
    except UnnoiseError as error:
        sentence = str(error)
        assert "\n" not in sentence and path.name in sentence and len(sentence) < 500, sentence
    else:
        assert isinstance(photo, Photo) and photo.pixels.size
        path.unlink()
        try:
            write_photo(path, photo)
        except InputError as error:  # the content was of another format than the name
            assert "cannot hold" in str(error)
        else:
            again = read_photo(path)
            assert again.pixels.shape[:2] == photo.pixels.shape[:2]


def trial(seed: int, files: dict[str, bytes], folder: Path) -> None:
    rng = random.Random(seed)
    name = rng.choice(sorted(files))
    path = folder / f"{seed}_{name}"
    path.write_bytes(damaged(files[name], rng))
    read_or_refuse(path)
    path.unlink(missing_ok=True)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_damage_is_one_error_or_a_photo(seed, valid_files, tmp_path, capfd):
    trial(seed, valid_files, tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_much_damage_is_one_error_or_a_photo(valid_files, tmp_path, capfd):
    for seed in range(6000):
        trial(seed, valid_files, tmp_path)
    assert capfd.readouterr() == ("", "")


def test_the_undamaged_files_are_read(valid_files, tmp_path):
    for name, content in valid_files.items():
        (tmp_path / name).write_bytes(content)
        assert np.asarray(read_photo(tmp_path / name).pixels).size
