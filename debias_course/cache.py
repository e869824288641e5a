"""Files that the course can make again: where they are kept, and how they are written."""

from __future__ import annotations

import functools
import os
import time
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ABANDONED = 3600  # seconds after which nobody writes a part any more

_told: set[Path] = set()  # folders of which this process has said that they cannot be written


def cache_folder() -> Path:
    """Where the course keeps what it can compute again; DEBIAS_COURSE_CACHE moves it."""
    import platformdirs

    try:
        return Path(os.environ.get("DEBIAS_COURSE_CACHE") or platformdirs.user_cache_dir("debias_course")).expanduser()
    except RuntimeError as error:
        raise FileNotFoundError(
            "no home folder is known in which the course could keep what it computes; name another folder in full in "
            "the environment variable DEBIAS_COURSE_CACHE, such as /tmp/debias_course"
        ) from error


def places(path: Path) -> list[Path]:
    """Where what belongs at `path` in the cache folder may be kept: there, and in a folder that is only read, such as
    that of a class whose baselines were computed before; the environment variable DEBIAS_COURSE_SHARED_CACHE names it.
    Whoever reads checks what is there."""
    shared = os.environ.get("DEBIAS_COURSE_SHARED_CACHE")
    return [path, *([Path(shared, path.relative_to(cache_folder()))] if shared else [])]


@contextmanager
def keeping_in(folder: Path) -> Iterator[None]:
    """With `folder` as the cache folder: a worker may have started under another one than the process that asks."""
    before = os.environ.get("DEBIAS_COURSE_CACHE")
    os.environ["DEBIAS_COURSE_CACHE"] = str(folder)
    try:
        yield
    finally:
        del os.environ["DEBIAS_COURSE_CACHE"]
        if before is not None:
            os.environ["DEBIAS_COURSE_CACHE"] = before


def write_atomically(path: Path, content: bytes) -> None:
    """Write `path` in one move: a reader or a crash never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def keep(path: Path, content: bytes) -> None:
    """`write_atomically` for what can be made again: a cache that cannot be written costs time, not results, and a
    process says so once."""
    try:
        write_atomically(path, content)
    except OSError as error:
        cache = cache_folder()
        if cache not in _told:
            _told.add(cache)
            warnings.warn(
                f"nothing can be kept in {cache} ({error.strerror or error}), so it is computed again every time; make "
                "room there or allow writing, or name another folder in the environment variable DEBIAS_COURSE_CACHE",
                stacklevel=2,
            )


@functools.cache  # once per process
def sweep(directory: Path) -> None:
    """Remove the parts that killed processes left in a folder; a young one may still be written by another process."""
    for part in directory.glob("*." + "[0-9a-f]" * 32 + ".part"):
        with suppress(OSError):  # another process sweeps, too
            if time.time() - part.stat().st_mtime > ABANDONED:
                part.unlink()
