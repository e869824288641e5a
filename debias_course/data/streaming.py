"""Images on disk: decoded by threads, all at once where they fit in memory, otherwise by batches, ahead of the step.

Pillow lets go of Python's lock while it decodes, so threads are enough: no worker processes, no DataLoader, nothing
that draws from the global random state.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from ..checks import isa, whole
from ..fingerprints import fingerprint
from .grouped import Batch, GroupedData, row_numbers

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


def decode_all(paths: Sequence[str], size: int, *, workers: int | None = None, keep: bool = True):
    """All images, uint8 [N, 3, size, size] (`keep=False`: None, they are only tried), and {place: reason} of those that
    cannot be decoded, which are left black. Shows a bar when it takes more than two seconds at a terminal."""
    from tqdm import tqdm

    out = np.zeros((len(paths), 3, size, size), np.uint8) if keep else None
    with threads(workers) as pool:
        futures = begin(pool, out, paths, size)
        return out, finish(tqdm(futures, desc="images", unit_scale=CHUNK, delay=2, leave=False, disable=None))


def stamp(root: str, files: Sequence[str]) -> str:
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
class StreamedData(GroupedData):
    """Grouped images that stay on disk. `inputs` has their shape and type but no content (it lies on the meta device);
    `batch` and `batches` decode, and hand over what `GroupedData` of the decoded images would.

    root, files   the folder, and one path in it per sample (an array of str, [N])
    workers       threads that decode; one per core by default
    memory        bytes that one call of `batch` may take (256 MB always); `batches` reads 16 MB ahead
    """

    root: str = ""
    files: np.ndarray | None = None
    workers: int | None = None
    memory: int = 2**30

    def __new__(cls, inputs: Tensor | None = None, *rest, **named):
        """Data that are given inputs with a content (`replace(data, inputs=embeddings)`) stream no longer."""
        if not isinstance(inputs, Tensor) or inputs.device.type == "meta":
            return super().__new__(cls)
        plain = {each.name for each in fields(GroupedData)}
        return GroupedData(inputs, *rest, **{name: value for name, value in named.items() if name in plain})

    def __post_init__(self):
        shape = isa("inputs", self.inputs, Tensor, "a tensor, such as blank(n, size)")
        isa("labels", self.labels, Tensor, "a tensor, such as torch.as_tensor(labels)")
        isa("files", self.files, np.ndarray, "an array of texts")
        if len(self.files) != len(shape):
            raise ValueError(f"{len(shape)} inputs but {len(self.files)} files; give one file per input")
        if self.workers is not None:
            whole("workers", self.workers, 1)
        object.__setattr__(self, "inputs", self.labels.new_empty((len(shape), 0), dtype=torch.uint8))
        super().__post_init__()  # sees no pixels, but everything else
        object.__setattr__(self, "inputs", shape)

    def __repr__(self) -> str:
        return super().__repr__().replace("GroupedData", type(self).__name__, 1)

    @property
    def device(self) -> torch.device:
        """Where batches go."""
        return self.labels.device

    def batch(self, indices: Tensor) -> Batch:
        """The samples at int64 `indices` [B], read from disk; ValueError for more than memory allows."""
        needed = 4 * len(indices) * self.inputs.shape[1:].numel()
        if needed > max(self.memory, 2**28):
            raise ValueError(
                f"{len(indices):,} images at once take {needed / 1e9:.1f} GB, and these data stream because memory is "
                f"{self.memory / 1e9:.1f} GB; allow more memory, take a smaller size, or use a method that works "
                "batch by batch or on embeddings, such as SMOTE(space='embedding')"
            )
        with closing(self.batches([indices])) as batches:
            return next(batches)

    def batches(self, parts: Iterable[Tensor]) -> Iterator[Batch]:
        """`batch` of each of the parts, in order, while the threads decode the next ones. The threads end with the
        iterator, be it at its end, by an error or by an interrupt."""
        parts = list(parts)
        host = torch.cat(parts).cpu().numpy() if parts else ()  # once: the device is not waited for in a step
        waiting: deque = deque()
        held, start = 0, 0
        with threads(self.workers) as pool:
            for part in parts:
                paths = [os.path.join(self.root, file) for file in self.files[host[start : start + len(part)]]]
                shape = (len(part), *self.inputs.shape[1:])
                images = torch.empty(shape, dtype=torch.uint8, pin_memory=self.device.type not in ("cpu", "mps"))
                waiting.append((part, images, paths, begin(pool, images.numpy(), paths, shape[-1])))
                held, start = held + images.numel(), start + len(part)
                while len(waiting) > 1 and held > AHEAD:
                    held -= waiting[0][1].numel()
                    yield self._ready(*waiting.popleft())
            while waiting:
                yield self._ready(*waiting.popleft())

    def _ready(self, indices: Tensor, images: Tensor, paths: list[str], futures: list[Future]) -> Batch:
        for place, why in finish(futures).items():
            raise ValueError(f"{paths[place]} was an image when the data were loaded and is none now: {why}")
        inputs = images.to(self.device, non_blocking=True).float().mul_(1 / 255)
        rest = (each.index_select(0, indices) for each in (self.labels, self.attributes, self.groups))
        return Batch(inputs, *rest, indices)

    def subset(self, indices: Tensor | np.ndarray | Sequence) -> StreamedData:
        """The samples `indices` (whole numbers or a mask), in that order, as a data set of their own."""
        rows = row_numbers(indices, len(self)).to(self.device)
        rest = dict(labels=self.labels[rows], attributes=self.attributes[rows], files=self.files[rows.cpu().numpy()])
        return replace(self, inputs=blank(len(rows), self.inputs.shape[-1]), **rest)

    def common(self, other: GroupedData) -> int:
        """How many samples of `other` stream from the same files."""
        if not isinstance(other, StreamedData) or os.path.realpath(self.root) != os.path.realpath(other.root):
            return 0
        return sum(map(set(self.files).__contains__, other.files))

    def to(self, device: torch.device | str) -> StreamedData:
        """The same data with batches on another device; itself where they go there already."""
        if self.device == torch.device(device):
            return self
        return replace(self, labels=self.labels.to(device), attributes=self.attributes.to(device))

    def fingerprint(self) -> str:
        """Hash of the files' names, sizes and modification times, of the labels, and of how images are decoded."""
        settings = (self.label_names, self.attribute_names, self.inputs.shape)
        digest = hashlib.sha256(repr(settings).encode() + stamp(self.root, self.files).encode())
        for tensor in (self.labels, self.attributes):
            digest.update(tensor.cpu().contiguous().numpy())
        return digest.hexdigest()


def blank(n: int, size: int) -> Tensor:
    """The shape and type of n images, without content."""
    return torch.empty(n, 3, size, size, dtype=torch.uint8, device="meta")
