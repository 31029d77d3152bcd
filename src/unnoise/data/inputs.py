"""Which files a command was given, and where each result goes."""

from __future__ import annotations

import difflib
import glob
import re
from collections.abc import Iterable
from pathlib import Path

from unnoise.data.formats import EXTENSIONS
from unnoise.errors import InputError

SUFFIX = ".denoised"
OURS = (SUFFIX, ".report", ".noise", ".compare", ".explain")  # what our commands put before the extension


def expand_inputs(patterns: Iterable[str | Path], extensions: Iterable[str] = tuple(EXTENSIONS)) -> list[Path]:
    """The files that names, globs and folders mean, each once.

    A folder gives the files directly in it that have one of `extensions` (lower case, with the dot), in natural order
    (2 before 10), without hidden files and without our own results (`*.denoised.*`); a glob, which the shell
    may have left alone, gives what it matches, with folders in it left out; a name gives itself.

    Raises
    ------
    InputError : a name that does not exist (with the nearest one there is), or a folder or glob that gives nothing.
    """
    wanted = {extension.lower() for extension in extensions}
    found: dict[Path, Path] = {}  # real path -> as the user wrote it
    for pattern in patterns:
        try:
            paths = _expand(Path(pattern).expanduser(), wanted)
        except OSError as error:  # InputError is a ValueError
            raise InputError(f"{pattern} cannot be read ({error.strerror}): check its permissions") from error
        for path in paths:
            found.setdefault(path.resolve(), path)
    if not found:
        raise InputError("no input files: name a picture, a folder or a glob such as 'photos/*.jpg'")
    return list(found.values())


def output_path(
    src: Path, out: str | Path | None, many: bool = False, suffix: str = SUFFIX, extension: str | None = None
) -> Path:
    """Where the result for `src` goes.

    `out` is a folder when it exists as one, ends in a slash or when there are `many` inputs; the result then has
    the input's name in it. Otherwise it is the file. Without `out`, `a.jpg` gives `a.denoised.jpg` beside it.
    With an `extension` the result is of another kind than the input, a plot, and is called by suffix and extension in a
    folder too.

    >>> output_path(Path("in/a.jpg"), None).as_posix()
    'in/a.denoised.jpg'
    >>> output_path(Path("in/a.jpg"), "out/").as_posix()
    'out/a.jpg'
    >>> output_path(Path("in/a.jpg"), "out/", suffix=".noise", extension=".png").as_posix()
    'out/a.noise.png'
    """
    apart = f"{src.stem}{suffix}{extension or src.suffix}"
    if out is None:
        return src.with_name(apart)
    text, path = str(out), Path(out).expanduser()
    if many and path.is_file():
        raise InputError(f"{path} is a file but there are several inputs: name a folder")
    if many or text.endswith(("/", "\\")) or _is_folder(path):
        return path / (src.name if extension is None else apart)
    return path


def output_paths(
    sources: Iterable[Path],
    out: str | Path | None,
    overwrite: bool = False,
    suffix: str = SUFFIX,
    extension: str | None = None,
) -> list[Path]:
    """`output_path` of every source, checked before any work: none replaces its input, no two coincide.

    Raises
    ------
    InputError : a result would replace its own input without `overwrite`, or any input of the others, or two inputs
        give the same result.
    """
    sources = list(sources)
    targets = [output_path(source, out, len(sources) > 1, suffix, extension) for source in sources]
    inputs = {source.resolve(): source for source in sources}
    seen: dict[Path, Path] = {}
    for source, target in zip(sources, targets, strict=True):
        real = target.resolve()
        if real == source.resolve() and not overwrite:
            raise InputError(f"the result would replace its input {source}: name another with -o or pass --overwrite")
        if real in inputs and real != source.resolve():
            raise InputError(
                f"the result of {source} would replace the input {inputs[real]}: name another folder with -o"
            )
        if real in seen:
            raise InputError(f"{seen[real]} and {source} would both be written to {target}: run them apart")
        seen[real] = source
    return targets


def nearest(path: Path) -> str:
    """ ": did you mean ...?" with the nearest name in the folder of a missing file, or nothing."""
    if not path.parent.is_dir():
        return f": the folder {path.parent} does not exist either"
    names = [other.name for other in path.parent.iterdir() if not other.name.startswith(".")]
    close = difflib.get_close_matches(path.name, names, n=1)
    return f": did you mean {path.with_name(close[0])}?" if close else ": check the name"


def natural(path: Path) -> list[tuple[int, str]]:
    """Sort key that puts `a2` before `a10`.

    >>> [path.name for path in sorted(map(Path, ["a10", "a2", "b1"]), key=natural)]
    ['a2', 'a10', 'b1']
    """
    parts = re.findall(r"\d+|\D+", path.name.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _expand(path: Path, wanted: set[str]) -> list[Path]:
    if _is_folder(path):
        files = [p for p in path.iterdir() if p.is_file() and p.suffix.lower() in wanted and not _ours(p)]
        if not files:
            raise InputError(f"the folder {path} holds no pictures ({', '.join(sorted(wanted))})")
        return sorted(files, key=natural)
    if path.exists():
        return [path]
    if glob.has_magic(str(path)):
        matches = [p for p in map(Path, glob.glob(str(path), recursive=True)) if p.is_file() and not _ours(p)]  # noqa: PTH207
        if not matches:
            raise InputError(f"no file matches '{path}': check the folder and the extension")
        return sorted(matches, key=lambda p: (str(p.parent), natural(p)))
    raise InputError(f"{path} does not exist{nearest(path)}")


def _is_folder(path: Path) -> bool:
    """A folder of files; a Zarr store is one thing."""
    return path.is_dir() and path.suffix.lower() != ".zarr"


def _ours(path: Path) -> bool:
    """Hidden files (unfinished writes among them) and results of an earlier run."""
    return path.name.startswith(".") or path.stem.endswith(OURS)
