"""A large file from the network, which goes on where it was interrupted.

What comes is written to a file.part, with the server's mark of the version beside it (file.tag): the next call asks for
the rest of that version, and begins again where the server has another one, or gives whole files only. Proxies are
those of the environment (https_proxy).
"""

from __future__ import annotations

import hashlib
import http.client
import os
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

CHUNK = 2**20  # bytes
PATIENCE = 60  # seconds in which nothing comes
GOES_ON = "what came is kept, and the same command goes on from there"


def download(url: str, path: Path) -> None:
    """Bring what is at `url` to `path`, in one move when all of it is there. Shows a bar. OSError, with a remedy, where
    the network, the server or the disk fail."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        answer, have = _answer(url, part)
        with answer:
            length = answer.headers["Content-Length"] or ""
            wanted = have + int(length) if length.isdigit() else None
            if not have:
                part.write_bytes(b"")
                _tag(part).write_text(_mark(answer.headers))
            came = _write(answer, part, have, wanted)
    except urllib.error.HTTPError as error:
        what = f"{url} answers {error.code} {error.reason}"
        raise OSError(f"{what}; try again later, or see whether the address has changed; {GOES_ON}") from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as error:
        why = getattr(error, "reason", None) or error
        what = f"{url} could not be reached, or was cut off ({why})"
        raise OSError(f"{what}; look at the network and at the variable https_proxy: {GOES_ON}") from error
    if wanted is not None and came != wanted:
        raise OSError(f"{url} was cut off after {came:,} of {wanted:,} bytes; {GOES_ON}")
    os.replace(part, path)
    _tag(part).unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """The hash of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()


def _tag(part: Path) -> Path:
    return part.with_suffix(".tag")


def _mark(headers: Any) -> str:
    """What tells one version of the file from another, "" where the server does not say."""
    etag = headers["ETag"] or ""
    return etag if etag.startswith('"') else headers["Last-Modified"] or ""  # a weak one does not vouch for bytes


def _answer(url: str, part: Path) -> tuple[Any, int]:
    """The server's answer, and behind how many bytes of the part it belongs: the rest (206) where the version of the
    part is known, or else all."""
    mark = _tag(part).read_text() if _tag(part).is_file() else ""
    have = part.stat().st_size if mark and part.is_file() else 0
    rest = {"Range": f"bytes={have}-", "If-Range": mark} if have else {}
    request = urllib.request.Request(url, headers={"User-Agent": "debias-course", **rest})
    try:
        answer = urllib.request.urlopen(request, timeout=PATIENCE)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        _tag(part).unlink()  # there is nothing after the part: it is whole, or of another version
        return _answer(url, part)
    if url.startswith("https:") and not answer.url.startswith("https:"):
        answer.close()
        raise OSError(f"{url} leads to {answer.url}, which is not encrypted; nothing was fetched")
    if not have or answer.status != 206:
        return answer, 0
    if not (answer.headers["Content-Range"] or "").startswith(f"bytes {have}-"):
        answer.close()
        _tag(part).unlink()  # it answers another question
        return _answer(url, part)
    return answer, have


def _write(answer: Any, part: Path, have: int, wanted: int | None) -> int:
    """Write what comes behind what is there; the bytes that the part has then."""
    from tqdm import tqdm

    how: dict[str, Any] = dict(unit="B", unit_scale=True, desc=part.stem, initial=have, total=wanted, disable=None)
    with tqdm(**how) as bar:
        while block := answer.read(CHUNK):
            try:
                with part.open("ab") as file:
                    file.write(block)
            except OSError as error:
                what = f"{part} could not be written ({error.strerror or error})"
                remedy = "make room there, or name another folder in the environment variable DEBIAS_COURSE_CACHE"
                raise OSError(f"{what}; {remedy}: {GOES_ON}") from error
            have += len(block)
            bar.update(len(block))
    return have
