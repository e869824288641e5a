"""Files that the course can make again: where they are kept, and how they are written."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def cache_folder() -> Path:
    """Where the course keeps what it can compute again; DEBIAS_COURSE_CACHE moves it."""
    import platformdirs

    chosen = os.environ.get("DEBIAS_COURSE_CACHE") or platformdirs.user_cache_dir("debias_course")
    return Path(chosen).expanduser()


def write_atomically(path: Path, content: bytes) -> None:
    """Write `path` in one move: a reader or a crash never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def keep(path: Path, content: bytes) -> None:
    """`write_atomically`; a cache that cannot be written costs time, not results."""
    try:
        write_atomically(path, content)
    except OSError:
        pass
