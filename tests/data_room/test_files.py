"""Writing without harm."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from pathlib import Path

import numpy as np
import pytest

from unnoise.data.files import replacing
from unnoise.data.photo import Photo, write_photo
from unnoise.errors import InputError, OutputError


def test_the_temporary_has_the_extension_and_the_folder_of_the_target(tmp_path):
    with replacing(tmp_path / "a.png") as temporary:
        assert temporary.parent == tmp_path and temporary.suffix == ".png" and temporary.name.startswith(".")
        assert not (tmp_path / "a.png").exists()
        temporary.write_text("new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_text() == "new"


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), InputError("y"), SystemExit(3)])
def test_any_exception_removes_it_and_keeps_the_earlier_file(tmp_path, error):
    (tmp_path / "a.png").write_text("old")
    with pytest.raises(type(error)), replacing(tmp_path / "a.png", overwrite=True) as temporary:
        temporary.write_text("half")
        raise error
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_text() == "old"


def test_an_existing_file_needs_overwrite(tmp_path):
    target = tmp_path / "a.png"
    target.write_text("old")
    with pytest.raises(OutputError, match="exists: choose another name or pass --overwrite"), replacing(target):
        pass
    with replacing(target, overwrite=True) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"


def test_a_file_that_appears_meanwhile_is_kept(tmp_path):
    target = tmp_path / "a.png"
    with pytest.raises(OutputError, match="exists"), replacing(target) as temporary:
        temporary.write_text("ours")
        target.write_text("theirs")
    assert target.read_text() == "theirs" and len(list(tmp_path.iterdir())) == 1


def test_modes_are_those_of_the_umask_or_of_the_replaced_file(tmp_path):
    target = tmp_path / "a.png"
    before = os.umask(0o027)
    try:
        with replacing(target) as temporary:
            temporary.write_text("x")
        assert stat.S_IMODE(target.stat().st_mode) == 0o640
        target.chmod(0o604)
        with replacing(target, overwrite=True) as temporary:
            temporary.write_text("x")
        assert stat.S_IMODE(target.stat().st_mode) == 0o604
    finally:
        os.umask(before)


def test_a_symbolic_link_is_followed(tmp_path):
    (tmp_path / "real.png").write_text("old")
    (tmp_path / "link.png").symlink_to("real.png")
    with replacing(tmp_path / "link.png", overwrite=True) as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link.png").is_symlink() and (tmp_path / "real.png").read_text() == "new"


def test_a_link_to_itself_is_replaced(tmp_path):
    (tmp_path / "a.png").symlink_to("a.png")
    with replacing(tmp_path / "a.png", overwrite=True) as temporary:
        temporary.write_text("x")
    assert (tmp_path / "a.png").read_text() == "x"


def test_what_cannot_be_written_says_why(tmp_path):
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "pipe.png")
    for target, said in (
        (tmp_path / "no" / "a.png", "no does not exist; create it first"),
        (tmp_path / "file" / "a.png", "file does not exist; create it first"),
        (tmp_path / ("n" * 300 + ".png"), "the name is too long; choose a shorter one"),
        (tmp_path, "is a folder; name a file"),
        (tmp_path / "pipe.png", "is a device or a pipe"),
    ):
        with pytest.raises(OutputError, match=said) as caught, replacing(target, overwrite=True):
            pytest.fail("the block must not run")
        assert "\n" not in str(caught.value)


def test_the_longest_name_the_disk_takes_works(tmp_path):
    target = tmp_path / ("é" * 125 + ".png")  # 254 bytes
    with replacing(target) as temporary:
        temporary.write_text("x")
    assert target.exists()


def test_a_read_only_folder(tmp_path, monkeypatch):
    tmp_path.chmod(0o555)
    if os.geteuid() == 0:  # root writes everywhere

        def closed(*args, **kwargs):
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(os, "open", closed)
    with pytest.raises(OutputError, match="is read-only; choose another with -o"), replacing(tmp_path / "a.png"):
        pass
    tmp_path.chmod(0o755)


@pytest.mark.parametrize("extension", [".png", ".jpg", ".tif", ".webp", ".npy"])
def test_a_disk_that_fills_up_while_writing(tmp_path, monkeypatch, extension):
    """Every writer: the sentence, nothing left behind, the earlier file untouched."""
    photo = Photo(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    target = tmp_path / f"a{extension}"
    write_photo(target, photo)
    old = target.read_bytes()

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="the disk is full; free some space"):
        write_photo(target, photo, overwrite=True)
    assert target.read_bytes() == old and len(list(tmp_path.iterdir())) == 1


@pytest.fixture
def tiny_disk(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a file system of 64 kB")
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this system does not let a file system be mounted")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("extension", [".png", ".jpg", ".tif", ".webp", ".npy"])
def test_a_disk_that_is_really_full(tiny_disk: Path, extension):
    photo = Photo(np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8))
    with pytest.raises(OutputError, match="the disk is full; free some space"):
        write_photo(tiny_disk / f"a{extension}", photo)
    assert list(tiny_disk.iterdir()) == []
