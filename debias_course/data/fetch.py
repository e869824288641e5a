"""Known data sets of images, fetched once, by name, into the cache folder, to compare with published numbers.

    folder = fetch("waterbirds")
    data = image_folder(folder, size=64)

Nothing is fetched unless this is called. Every file is compared with its published SHA-256. Where none is published,
that of the first fetch is kept beside the folder, and later ones are compared with it; `fetch` says so.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..cache import cache_folder, write_atomically
from ..checks import choice
from .download import GOES_ON, download, sha256


class File(NamedTuple):
    """One file of a set: where it is, what it is called here, and its published hash, "" where there is none. An
    archive is unpacked."""

    url: str
    name: str
    sha256: str = ""


class Source(NamedTuple):
    """Where a set comes from. `inside` is the folder of the archive that has the table, `terms` who may use it."""

    files: tuple[File, ...]
    inside: str
    terms: str


_CELEBA = "https://drive.google.com/uc?export=download&id="  # of its authors
SETS = {
    # Sagawa et al. 2020. Address: README.md of github.com/kohpangwei/group_DRO, which publishes no hash. Terms:
    # waterbirds_dataset.py of github.com/p-lambda/wilds.
    "waterbirds": Source(
        (File("https://nlp.stanford.edu/data/dro/waterbird_complete95_forest2water2.tar.gz", "waterbirds.tar.gz"),),
        "waterbird_complete95_forest2water2",
        "for non-commercial research and education; cite Sagawa et al. 2020, Wah et al. 2011 and Zhou et al. 2017",
    ),
    # Liu et al. 2015. Hashes: tensorflow_datasets/url_checksums/celeb_a.txt of github.com/tensorflow/datasets, and
    # torchvision/prototype/datasets/_builtin/celeba.py of github.com/pytorch/vision. Before a large file, Google Drive
    # asks a person: the images come from where .jenkins/download_data.py of github.com/pytorch/tutorials has them.
    "celeba": Source(
        (
            File(
                f"{_CELEBA}0B7EVK8r0v71pblRyaVFSWGxPY0U",
                "list_attr_celeba.txt",
                "f0e5da289d5ccf75ffe8811132694922b60f2af59256ed362afa03fefba324d0",
            ),
            File(
                f"{_CELEBA}0B7EVK8r0v71pY0NSMzRuSXJEVkk",
                "list_eval_partition.txt",
                "fc955bcb3ef8fbdf7d5640d9a8693a8431b5f2ee291a5c1449a1549e7e073fe7",
            ),
            File(
                "https://s3.amazonaws.com/pytorch-tutorial-assets/img_align_celeba.zip",
                "img_align_celeba.zip",
                "46fb89443c578308acf364d7d379fe1b9efb793042c0af734b6112e4fd3a8c74",
            ),
        ),
        "",
        "for non-commercial research; cite Liu et al. 2015",
    ),
}


def place(name: str) -> Path:
    """The folder of a set, be it fetched or not."""
    return cache_folder() / "sets" / choice("the data set", name, SETS)


def fetched(name: str | Path) -> Path:
    """The folder that is meant: the one at this path, or else that of a set, which has to be there. FileNotFoundError
    says how to fetch it."""
    path = Path(name).expanduser()
    if str(name) not in SETS or path.exists():
        return path
    if not place(str(name)).is_dir():
        raise FileNotFoundError(f"{name} is not here yet; fetch it with: debias-course fetch {name}")
    return place(str(name))


def fetch(name: str) -> Path:
    """The folder of a set, fetched unless it is there. An interrupted call keeps what came, and the next one goes on.

    Raises OSError, with a remedy, where the network, a server or the disk fail or another process fetches the same,
    and ValueError for files that are not what they should be."""
    folder, source = place(name), SETS[name]
    parts = folder.with_name(f"{name}.parts")
    if folder.is_dir():
        return folder
    with _alone(parts, name):
        for file in source.files:
            if not (parts / file.name).is_file():
                download(file.url, parts / file.name)
            _check(parts / file.name, file)
        whole = _unpacked(source, parts) / source.inside
        if not whole.is_dir():
            raise ValueError(f"{parts / source.files[0].name} has no folder {source.inside}; delete it, and try again")
        for file in source.files:
            if not file.sha256:  # what could be unpacked is whole
                write_atomically(first_hash(file), f"{sha256(parts / file.name)}\n".encode())
        os.replace(whole, folder)
    shutil.rmtree(parts, ignore_errors=True)
    return folder


@contextlib.contextmanager
def _alone(parts: Path, name: str) -> Iterator[None]:
    from filelock import FileLock, Timeout

    try:
        parts.mkdir(parents=True, exist_ok=True)
        with FileLock(parts / ".fetching", timeout=0):
            yield
    except Timeout:
        raise FileExistsError(f"another process fetches {name}; wait until it is done") from None
    except PermissionError as error:
        remedy = "name another folder in the environment variable DEBIAS_COURSE_CACHE"
        raise OSError(f"{parts} cannot be written ({error.strerror}); {remedy}") from error


def first_hash(file: File) -> Path:
    """Where the hash of the first fetch is kept, of a file for which none is published."""
    return cache_folder() / "sets" / f"{file.name}.sha256"


def _check(path: Path, file: File) -> None:
    """ValueError where a file has another hash than is published, or than it had at the first fetch; it is put
    aside."""
    found, known, first = sha256(path), file.sha256, first_hash(file)
    if found == (known or (first.read_text().strip() if first.is_file() else found)):
        return
    aside = path.with_name(f"{path.name}.wrong")
    os.replace(path, aside)
    what = f"what came from {file.url} has the SHA-256 {found}, and "
    if known:
        remedy = f"try again, or fetch {file.name} in another way and put it at {path}"
        raise ValueError(f"{what}{known} is published; it lies at {aside}: {remedy}")
    remedy = f"try again, or, if you trust the new one, delete {first} and rename {aside} to {path.name}"
    raise ValueError(f"{what}the fetch before had another one (none is published); it lies at {aside}: {remedy}")


def _unpacked(source: Source, parts: Path) -> Path:
    """A folder with what is in the archives, and the other files beside it."""
    folder = parts / "unpacked"
    shutil.rmtree(folder, ignore_errors=True)  # of a call that was interrupted
    folder.mkdir()
    for file in source.files:
        path = parts / file.name
        try:
            if path.suffix in (".zip", ".gz"):
                _unpack(path, folder)
            else:
                shutil.copyfile(path, folder / file.name)
        except (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, ValueError) as error:
            raise ValueError(f"{path} cannot be unpacked ({error}); delete it, and try again") from error
        except OSError as error:
            what = f"{path} cannot be unpacked ({error.strerror or error})"
            remedy = f"make room in {parts}, or name another folder in DEBIAS_COURSE_CACHE"
            raise OSError(f"{what}; {remedy}: {GOES_ON}") from error
    return folder


def _unpack(path: Path, folder: Path) -> None:
    """All files of an archive; one whose files would lie outside of the folder is refused."""
    from tqdm import tqdm

    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            for member in tqdm(archive.infolist(), desc=f"unpacking {path.name}", disable=None):
                _refuse_outside(member.filename)
                archive.extract(member, folder)
        return
    safely: dict[str, Any] = dict(filter="data") if hasattr(tarfile, "data_filter") else {}  # not before 3.11.4
    with tarfile.open(path, "r:gz") as files:
        for each in tqdm(files, desc=f"unpacking {path.name}", disable=None):
            _refuse_outside(each.name)
            if not (each.isfile() or each.isdir()):
                raise ValueError(f"{each.name} is a link, or no file at all")
            files.extract(each, folder, **safely)


def _refuse_outside(name: str) -> None:
    """ValueError for a path that leads out of the folder in which it counts."""
    if os.path.isabs(name) or ".." in name.replace("\\", "/").split("/"):
        raise ValueError(f"{name} would lie outside of it")
