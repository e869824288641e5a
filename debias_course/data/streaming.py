"""Images on disk: decoded by threads, all at once where they fit in memory, otherwise by batches, ahead of the step.

Pillow lets go of Python's lock while it decodes, so threads are enough: no worker processes, no DataLoader, nothing
that draws from the global random state.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ..checks import Unsuitable, isa, whole
from ..fingerprints import fingerprint

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # Pillow hands others, such as EPS, to other programs
MOST_PIXELS = 50_000_000  # of one image: 0.2 to 0.4 GB in each thread while it is decoded
# What the system says of a name that leads to no file.
MISSING = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL}
CHUNK = 32  # images that a thread decodes at a time
AHEAD = 2**24  # bytes of decoded images that may wait for the step; one batch more may


def decode(path: str, size: int) -> np.ndarray:
    """The image as uint8 [3, size, size]: turned as the camera says, its shorter side brought to `size` (bilinear, with
    anti-aliasing), and cut to the square in the middle. A JPEG is decoded at about twice the size that is needed, where
    it is larger. Transparency is ignored. Only `FORMATS` of up to `MOST_PIXELS` are opened. Raises whatever Pillow
    makes of a damaged file."""
    from PIL import Image, ImageOps

    with Image.open(path, formats=FORMATS) as image:
        if image.width * image.height > MOST_PIXELS:
            raise Image.DecompressionBombError
        image.filename = ""  # else Pillow maps it into memory, with its sides swapped where a TIFF is turned
        image.draft(None, (2 * size, 2 * size))
        if image.mode[0] in "IF":
            raise ValueError(f"its pixels are {image.mode}; save it with 8 bits per channel")
        ImageOps.exif_transpose(image, in_place=True)
        rgb = image if image.mode == "RGB" else image.convert("RGB")
        return np.asarray(ImageOps.fit(rgb, (size, size), Image.Resampling.BILINEAR)).transpose(2, 0, 1)


def reason(error: Exception) -> str:
    """Why an image could not be decoded, in a few words and without its path."""
    large = f"it has more than {MOST_PIXELS / 1e6:.0f} million pixels; scale it down"
    known = {
        "FileNotFoundError": "there is no such file",
        "UnidentifiedImageError": f"it is no image that Pillow knows as {', '.join(FORMATS)}",
        "MemoryError": "there is too little memory",
        "DecompressionBombError": large,
        "DecompressionBombWarning": large,  # where warnings are errors
    }
    return known.get(type(error).__name__) or str(getattr(error, "strerror", None) or error) or type(error).__name__


def verdict(error: Exception, path: str) -> str:
    """The `reason`, where the error says something about the image: it is missing, damaged or refused. What has other
    causes, which may be over in a moment, is raised as an OSError with a remedy."""
    why, number = reason(error), getattr(error, "errno", None)
    if number in (None, *MISSING) and not isinstance(error, MemoryError) and "out of memory" not in why:
        return why
    raise OSError(
        f"{path} could not be read ({why}), which says nothing about the image; try again when that is mended, with "
        "fewer threads (workers=1) where memory or open files are lacking"
    ) from error


@contextmanager
def threads(workers: int | None) -> Iterator[ThreadPoolExecutor]:
    """A pool, by default one thread per core; whatever has not begun is dropped at the end, and no thread stays."""
    from PIL import Image

    Image.init()  # registering the formats is not safe in threads
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    pool = ThreadPoolExecutor(workers or cores, thread_name_prefix="debias-course-images")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def fill(out: np.ndarray | None, paths: Sequence[str], size: int) -> dict[int, str]:
    """Decode the files into out [n, 3, size, size]; {place: reason} of those that cannot be."""
    failed = {}
    for place, path in enumerate(paths):
        try:
            pixels = decode(path, size)
        except Exception as error:  # whatever a damaged file makes of it
            failed[place] = verdict(error, path)
        else:
            if out is not None:
                out[place] = pixels
    return failed


def begin(pool: ThreadPoolExecutor, out: np.ndarray | None, paths: Sequence[str], size: int) -> list[Future]:
    """`fill` in chunks, one future for each."""
    parts = [slice(start, start + CHUNK) for start in range(0, len(paths), CHUNK)]
    return [pool.submit(fill, None if out is None else out[part], paths[part], size) for part in parts]


def finish(futures: Iterable[Future]) -> dict[int, str]:
    """What `fill` says of the whole, when all chunks are done."""
    return {number * CHUNK + place: why for number, f in enumerate(futures) for place, why in f.result().items()}


def decode_all(
    paths: Sequence[str], size: int, *, workers: int | None = None, keep: bool = True
) -> tuple[np.ndarray | None, dict[int, str]]:
    """All images, uint8 [N, 3, size, size] (`keep=False`: None, they are only tried), and {place: reason} of those that
    cannot be decoded, which are left black. Shows a bar when it takes more than two seconds at a terminal."""
    from tqdm import tqdm

    out = np.zeros((len(paths), 3, size, size), np.uint8) if keep else None
    with threads(workers) as pool:
        futures = begin(pool, out, paths, size)
        return out, finish(tqdm(futures, desc="images", unit_scale=CHUNK, delay=2, leave=False, disable=None))


def stamp(root: str, files: Iterable[str]) -> str:
    """Hash of names, sizes and modification times, and of how files are decoded: equal until somebody changes one."""
    import PIL

    digest = hashlib.sha256(f"{PIL.__version__} {fingerprint(decode)}\0".encode())
    for file in files:
        try:
            known = os.stat(os.path.join(root, file))
            digest.update(f"{file}\0{known.st_size}\0{known.st_mtime_ns}\0".encode())
        except (OSError, ValueError):  # a ValueError for a name that no file can have
            digest.update(f"{file}\0missing\0".encode())
    return digest.hexdigest()


@dataclass(frozen=True, eq=False, repr=False)
class ImageFiles:
    """N images on disk, in the place of a tensor of them: `GroupedData(ImageFiles(...), labels, ...)`. They have its
    shape and type, and are decoded batch by batch; nothing is read before.

    root, files   the folder, and one path in it per image (an array of str, [N])
    size          pixels of the square that is cut from each
    workers       threads that decode; one per core by default
    memory        bytes that one call of `index_select` may take (256 MB always); `read` reads 16 MB ahead
    """

    root: str
    files: np.ndarray
    size: int
    workers: int | None = None
    memory: float = 2**30

    dtype: ClassVar[torch.dtype] = torch.uint8
    ndim: ClassVar[int] = 4

    def __post_init__(self) -> None:
        isa("files", self.files, np.ndarray, "an array of texts")
        whole("size", self.size, 1)
        if self.workers is not None:
            whole("workers", self.workers, 1)

    def __len__(self) -> int:
        return len(self.files)

    def __repr__(self) -> str:
        return f"ImageFiles({len(self)} × 3×{self.size}×{self.size} in {self.root})"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"images that stay on disk have no {name!r}; decode some with data.batch(indices).inputs, or all by "
            "loading them with more memory"
        )

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self), 3, self.size, self.size))

    @property
    def nbytes(self) -> int:
        """Once they are decoded."""
        return self.shape.numel()

    def __getitem__(self, rows: Tensor) -> ImageFiles:
        """The images in these rows, int64 [M] or a mask [N], in that order; they stay on disk."""
        isa("the rows of images that stay on disk", rows, Tensor, "a tensor, and decode them with data.batch(rows)")
        return replace(self, files=self.files[rows.cpu().numpy()])

    def index_select(self, _dim: int, indices: Tensor) -> Tensor:
        """The images with these indices [B], uint8 [B, 3, size, size], on the device of the indices."""
        needed = 4 * len(indices) * self.shape[1:].numel()
        if needed > max(self.memory, 2**28):
            raise Unsuitable(
                f"{len(indices):,} images at once take {needed / 1e9:.1f} GB, and these data stream because memory is "
                f"{self.memory / 1e9:.1f} GB; allow more memory, take a smaller size, or use a method that works "
                "batch by batch or on embeddings, such as SMOTE"
            )
        with closing(self.read([indices])) as images:
            return next(images)

    def read(self, parts: Iterable[Tensor]) -> Generator[Tensor, None, None]:
        """`index_select` of each of the parts, in order, while the threads decode the next ones. The threads end with
        the iterator, be it at its end, by an error or by an interrupt."""
        parts = list(parts)
        host = torch.cat(parts).cpu().numpy() if parts else ()  # once: the device is not waited for in a step
        waiting: deque = deque()
        held, start = 0, 0
        with threads(self.workers) as pool:
            for part in parts:
                paths = [os.path.join(self.root, file) for file in self.files[host[start : start + len(part)]]]
                shape = (len(part), *self.shape[1:])
                images = torch.empty(shape, dtype=torch.uint8, pin_memory=part.device.type not in ("cpu", "mps"))
                waiting.append((images, part.device, paths, begin(pool, images.numpy(), paths, self.size)))
                held, start = held + images.numel(), start + len(part)
                while len(waiting) > 1 and held > AHEAD:
                    held -= waiting[0][0].numel()
                    yield _ready(*waiting.popleft())
            while waiting:
                yield _ready(*waiting.popleft())

    def to(self, device: torch.device | str) -> ImageFiles:
        """Themselves: they go to the device of the indices that they are asked for with."""
        return self

    def common(self, other: ImageFiles) -> int:
        """How many of the others are the same files."""
        if os.path.realpath(self.root) != os.path.realpath(other.root):
            return 0
        return sum(map(set(self.files).__contains__, other.files))

    def stamp(self) -> str:
        """See `stamp`."""
        return stamp(self.root, self.files)


def _ready(images: Tensor, device: torch.device, paths: list[str], futures: list[Future]) -> Tensor:
    for place, why in finish(futures).items():
        raise ValueError(f"{paths[place]} was an image when the data were loaded and is none now: {why}")
    return images.to(device, non_blocking=True)
