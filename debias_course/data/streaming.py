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
from .pixels import FEW_BITS, Pixels, Window, as_bytes, shades

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # Pillow hands others, such as EPS, to other programs
MOST_PIXELS = 50_000_000  # of one image: 0.2 to 0.4 GB in each thread while it is decoded, and 1.2 GB for a window
# What the system says of a name that leads to no file.
MISSING = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL}
PHOTOMETRIC, SAMPLE_FORMAT = 262, 339  # tags of TIFF
CHUNK = 32  # images that a thread decodes at a time
AHEAD = 2**24  # bytes of decoded images that may wait for the step; one batch more may


def decode(path: str, size: int, window: Window | None = None, grey: bool = False) -> np.ndarray:
    """The image as uint8 [3, size, size], or [1, size, size] where it is to be `grey`: turned as the camera says, its
    shorter side brought to `size` (bilinear, with anti-aliasing), and cut to the square in the middle. A JPEG is
    decoded at about twice the size that is needed, where it is larger. Transparency is ignored, and of several frames
    the first is taken. Only `FORMATS` of up to `MOST_PIXELS` are opened. Raises whatever Pillow makes of a damaged
    file, and ValueError where more than 8 bits come without a window, 8 with one, or more than 8 in several pages or
    channels."""
    from PIL import Image, ImageOps

    with Image.open(path, formats=FORMATS) as image:
        if image.width * image.height > MOST_PIXELS:
            raise Image.DecompressionBombError
        image.filename = ""  # else Pillow maps it into memory, with its sides swapped where a TIFF is turned
        image.draft(None, (2 * size, 2 * size))
        deep = image.mode[0] in "IF"  # 16 or 32 bits, always of one channel
        _refuse_misread(image, deep)
        unsigned = image.mode == "I" and image.format == "TIFF" and _of_tiff(image, SAMPLE_FORMAT, 1) == 1
        if window and not deep:
            raise ValueError(FEW_BITS)
        ImageOps.exif_transpose(image, in_place=True)
        if deep:
            give = "window=(low, high), or --window LOW,HIGH"
            values = np.asarray(image)
            values = values.view(np.uint32) if unsigned else values  # Pillow takes the upper half for negative
            whole_image = Image.fromarray(shades(values, window, image.mode, give))
        else:
            whole_image = image if image.mode == "RGB" else image.convert("RGB")
            whole_image = whole_image.convert("L") if grey else whole_image
        square = np.asarray(ImageOps.fit(whole_image, (size, size), Image.Resampling.BILINEAR))
        channels = np.atleast_3d(as_bytes(square) if deep else square).transpose(2, 0, 1)
        return np.broadcast_to(channels, Pixels(size, window, grey).shape)


def _of_tiff(image: Any, tag: int, otherwise: int) -> int:
    """A number that a TIFF file says of itself."""
    found = getattr(image, "tag_v2", {}).get(tag, otherwise)
    return found[0] if isinstance(found, tuple) else found


def _refuse_misread(image: Any, deep: bool) -> None:
    """ValueError for images with more than 8 bits whose values Pillow would change without a word."""
    if not deep:
        if any(";16" in str(tile) for tile in image.tile):  # it would take the upper 8
            raise ValueError("it has 16 bits in each of several channels; save it with 8 bits, or as one channel")
        return
    if (pages := getattr(image, "n_frames", 1)) > 1:
        raise ValueError(f"it has {pages} pages; save each one that is meant as a file of its own")
    if any(tile[0] == "ppm" for tile in image.tile):  # of another largest value than that of 16 bits
        raise ValueError("it is a PGM file, whose values would be stretched; save it as a PNG or TIFF of 16 bits")
    if _of_tiff(image, PHOTOMETRIC, 1) == 0:
        raise ValueError("0 is white in it (the TIFF says WhiteIsZero); save it with 0 as black")


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
    if path.lower().endswith(".dcm") and type(error).__name__ == "UnidentifiedImageError":
        why = "it is a DICOM file; convert it to a PNG or TIFF of 16 bits, name that one, and give a window"
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


def fill(out: np.ndarray | None, paths: Sequence[str], pixels: Pixels) -> dict[int, str]:
    """Decode the files into out [n, C, size, size]; {place: reason} of those that cannot be."""
    failed = {}
    for place, path in enumerate(paths):
        try:
            image = decode(path, *pixels)
        except Exception as error:  # whatever a damaged file makes of it
            failed[place] = verdict(error, path)
        else:
            if out is not None:
                out[place] = image
    return failed


def begin(pool: ThreadPoolExecutor, out: np.ndarray | None, paths: Sequence[str], pixels: Pixels) -> list[Future]:
    """`fill` in chunks, one future for each."""
    parts = [slice(start, start + CHUNK) for start in range(0, len(paths), CHUNK)]
    return [pool.submit(fill, None if out is None else out[part], paths[part], pixels) for part in parts]


def finish(futures: Iterable[Future]) -> dict[int, str]:
    """What `fill` says of the whole, when all chunks are done."""
    return {number * CHUNK + place: why for number, f in enumerate(futures) for place, why in f.result().items()}


def decode_all(
    paths: Sequence[str], pixels: Pixels, *, workers: int | None = None, keep: bool = True
) -> tuple[np.ndarray | None, dict[int, str]]:
    """All images, uint8 [N, C, size, size] (`keep=False`: None, they are only tried), and {place: reason} of those that
    cannot be decoded, which are left black. Shows a bar when it takes more than two seconds at a terminal."""
    from tqdm import tqdm

    out = np.zeros((len(paths), *pixels.shape), np.uint8) if keep else None
    with threads(workers) as pool:
        futures = begin(pool, out, paths, pixels)
        return out, finish(tqdm(futures, desc="images", unit_scale=CHUNK, delay=2, leave=False, disable=None))


def stamp(root: str, files: Iterable[str], window: Window | None) -> str:
    """Hash of names, sizes and modification times, and of how files are decoded: equal until somebody changes one. The
    shape of what comes out is not in it."""
    import PIL

    digest = hashlib.sha256(f"{PIL.__version__} {fingerprint(decode)} {window}\0".encode())
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
    window, grey  as of `image_folder`
    """

    root: str
    files: np.ndarray
    size: int
    workers: int | None = None
    memory: float = 2**30
    window: Window | None = None
    grey: bool = False

    dtype: ClassVar[torch.dtype] = torch.uint8
    ndim: ClassVar[int] = 4

    def __post_init__(self) -> None:
        isa("files", self.files, np.ndarray, "an array of texts")
        for name, value in Pixels.checked(self.size, self.window, self.grey)._asdict().items():
            object.__setattr__(self, name, value)
        if self.workers is not None:
            whole("workers", self.workers, 1)

    def __len__(self) -> int:
        return len(self.files)

    def __repr__(self) -> str:
        return f"ImageFiles({len(self)} × {'×'.join(map(str, self.shape[1:]))} in {self.root})"

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"images that stay on disk have no {name!r}; decode some with data.batch(indices).inputs, or all by "
            "loading them with more memory"
        )

    @property
    def pixels(self) -> Pixels:
        """What each file becomes."""
        return Pixels(self.size, self.window, self.grey)

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self), *self.pixels.shape))

    @property
    def nbytes(self) -> int:
        """Once they are decoded."""
        return self.shape.numel()

    def __getitem__(self, rows: Tensor) -> ImageFiles:
        """The images in these rows, int64 [M] or a mask [N], in that order; they stay on disk."""
        isa("the rows of images that stay on disk", rows, Tensor, "a tensor, and decode them with data.batch(rows)")
        return replace(self, files=self.files[rows.cpu().numpy()])

    def index_select(self, _dim: int, indices: Tensor) -> Tensor:
        """The images with these indices [B], uint8 [B, C, size, size], on the device of the indices."""
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
                waiting.append((images, part.device, paths, begin(pool, images.numpy(), paths, self.pixels)))
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
        return stamp(self.root, self.files, self.window)


def _ready(images: Tensor, device: torch.device, paths: list[str], futures: list[Future]) -> Tensor:
    for place, why in finish(futures).items():
        raise ValueError(f"{paths[place]} could be used, or was not tried, when the data were loaded, and now: {why}")
    return images.to(device, non_blocking=True)
