"""Writing without harm: a temporary file beside the target, renamed over it only when it is complete."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from unnoise.errors import OutputError, UnnoiseError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def replacing(dst: str | Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path in the folder of `dst`, with its extension; it becomes `dst` when the block succeeds.

    The temporary file is flushed to disk and renamed, which is atomic: a reader sees the earlier file or the
    complete new one. On any exception, Ctrl-C included, it is removed and an earlier `dst` stays as it was.
    Permissions are those of the replaced file, else what the umask gives. A symbolic link is followed.

    Raises
    ------
    OutputError : `dst` exists and `overwrite` is false, is not a regular file, its folder is missing or
        read-only, its name is too long, or the disk is full.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder) / "a.txt") as temporary:
    ...         _ = temporary.write_text("done")
    ...     [path.name for path in Path(folder).iterdir()]
    ['a.txt']
    """
    shown = Path(dst)
    try:
        target = Path(os.path.realpath(shown))  # unlike Path.resolve, no error on a link to itself
        _check_target(shown, target, overwrite)
        temporary = _create(target)
    except UnnoiseError:
        raise
    except OSError as error:
        raise explained(error, shown) from error
    try:
        try:
            yield temporary
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            _check_target(shown, target, overwrite)  # it may have appeared while the block ran
            temporary.replace(target)
        except UnnoiseError:
            raise
        except OSError as error:
            raise explained(error, shown) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_whole(path: str | Path, data: bytes) -> Path:
    """Replace the file `path` with `data`, whole or not at all; missing folders are made.

    Raises
    ------
    OutputError : it cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {path.parent} ({error.strerror}): choose another") from error
    with replacing(path, overwrite=True) as temporary:
        temporary.write_bytes(data)
    return path


def refuse_existing(dst: str | Path, overwrite: bool) -> None:
    """Raise `OutputError` now for a target that `replacing` would refuse after long work."""
    _check_target(Path(dst), Path(dst).resolve(), overwrite)


def _check_target(shown: Path, target: Path, overwrite: bool) -> None:
    if not target.exists():
        return
    if target.is_dir():
        raise OutputError(f"cannot write {shown}: it is a folder; name a file")
    if not target.is_file():
        raise OutputError(f"cannot write {shown}: it is a device or a pipe, not a file; name a file")
    if not overwrite:
        raise OutputError(f"{shown} exists: choose another name or pass --overwrite")


def _create(target: Path) -> Path:
    """An empty file in target's folder, hidden, with target's extension and the mode target has or would get."""
    with suppress(FileNotFoundError):
        target.lstat()  # refuses a name that is too long before any work is done
    stem = target.stem[:40]  # so that the longer temporary name is never the one that is too long
    temporary = target.with_name(f".{stem}.{secrets.token_hex(4)}.part{target.suffix}")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    if target.exists():
        temporary.chmod(target.stat().st_mode & 0o777)
    return temporary


def explained(error: OSError, dst: Path) -> OutputError:
    """The sentence for what the operating system said."""
    folder = dst.parent
    if error.errno in FULL or (error.errno in (None, errno.EIO) and _free(folder) < 1 << 20):
        return OutputError(f"cannot write {dst}: the disk is full; free some space or choose another folder")
    if error.errno in READ_ONLY:
        return OutputError(f"cannot write {dst}: the folder {folder} is read-only; choose another with -o")
    if error.errno in (errno.ENOENT, errno.ENOTDIR) and not folder.is_dir():
        return OutputError(f"cannot write {dst}: the folder {folder} does not exist; create it first")
    if error.errno == errno.ENAMETOOLONG:
        return OutputError(f"cannot write {str(dst)[:60]}...: the name is too long; choose a shorter one")
    return OutputError(f"cannot write {dst}: {error.strerror or error}; choose another folder or name")


def _free(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 1 << 40  # unknown: not a reason to call it full
