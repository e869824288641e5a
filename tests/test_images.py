"""data/streaming.py: which files are no images, which could only not be read just now, and which are never opened."""

import errno
import os
import struct
import zlib

import numpy as np
import pytest
import torch
from folders import SIDE, make, problems
from PIL import EpsImagePlugin, Image

from debias_course.data import GroupedData, ImageFiles, image_folder, inspect_folder
from debias_course.data.streaming import MOST_PIXELS, decode, verdict

PASSING = [
    (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
    (OSError(errno.EIO, "Input/output error"), "Input/output error"),
    (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
    (MemoryError(), "there is too little memory"),
    (OSError("out of memory when reading image file"), "out of memory when reading image file"),
]


@pytest.fixture
def birds(tmp_path):
    make(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("memory", [2**30, 0])
@pytest.mark.parametrize("error, why", PASSING)
def test_what_passes_is_raised_with_a_remedy_and_nothing_is_kept_of_it(birds, monkeypatch, error, why, memory):
    whole = Image.open

    def flaky(path, **how):
        if path.endswith("7.jpg"):
            raise error
        return whole(path, **how)

    monkeypatch.setattr(Image, "open", flaky)
    for read in image_folder, inspect_folder:
        with pytest.raises(OSError, match=rf"7\.jpg could not be read \({why}\), .* try again .* \(workers=1\)"):
            read(birds, size=SIDE, memory=memory)
    monkeypatch.setattr(Image, "open", whole)
    assert len(image_folder(birds, size=SIDE, memory=memory).train) == 36


def test_what_passes_does_not_call_a_streamed_image_broken(birds, monkeypatch):
    data = image_folder(birds, size=SIDE, memory=0).train
    monkeypatch.setattr(
        Image, "open", lambda path, **how: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error"))
    )
    with pytest.raises(OSError, match=r"could not be read \(Input/output error\)"):
        data.batch(torch.arange(4))


def test_what_is_said_of_the_file_is_a_verdict(tmp_path):
    (tmp_path / "folder").mkdir()
    for name, why in (
        ("absent.jpg", "there is no such file"),
        ("folder", "Is a directory"),
        ("x" * 300, "File name too long"),
        ("nul\0", "embedded null byte"),
    ):
        with pytest.raises((OSError, ValueError)) as caught:
            decode(str(tmp_path / name), SIDE)
        assert verdict(caught.value, name) == why


def test_other_formats_are_not_opened_whatever_they_are_called(birds, monkeypatch):
    Image.new("RGB", (20, 20)).save(birds / "images/0.jpg", format="EPS")
    Image.new("RGB", (20, 20)).save(birds / "images/1.jpg", format="PNG")
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *how: pytest.fail("another program was called"))
    error = problems(birds)
    assert [str(p) for p in error.problems] == [
        "row 2: 'images/0.jpg': it is no image that Pillow knows as BMP, GIF, JPEG, PNG, PPM, TIFF, WEBP"
    ]


@pytest.mark.parametrize("format", ["BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"])
def test_usual_formats_are_decoded(tmp_path, format):
    Image.new("RGB", (20, 20), (128, 128, 128)).save(tmp_path / "x", format=format)
    assert (decode(str(tmp_path / "x"), 4) == 128).all()


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_an_image_that_lies_on_its_side_is_turned(tmp_path, format):
    turned = Image.Exif()
    turned[0x0112] = 6  # by a quarter
    wide = np.arange(128, dtype=np.uint8).reshape(8, 16)
    Image.fromarray(wide).save(tmp_path / "x", format=format, exif=turned)
    assert np.array_equal(decode(str(tmp_path / "x"), 8)[0], np.rot90(wide[:, 4:12], -1))


@pytest.mark.parametrize(
    "side", [7100, 10_000, 20_000]
)  # at 89 million pixels, Pillow begins to warn; at 179, to raise
def test_an_image_of_too_many_pixels_is_known_by_its_header_and_not_decoded(birds, side):
    Image.new("L", (20, 20)).save(birds / "images/0.jpg", format="PNG")
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    png = bytearray((birds / "images/0.jpg").read_bytes())
    png[12:33] = header + struct.pack(">I", zlib.crc32(header))
    (birds / "images/0.jpg").write_bytes(png[:60])  # whoever decodes it says that it is truncated
    error = problems(birds)
    assert [str(p) for p in error.problems] == [
        "row 2: 'images/0.jpg': it has more than 50 million pixels; scale it down"
    ] and side * side > MOST_PIXELS


def test_a_size_of_which_no_image_fits_is_said_before_any_file_is_called_broken(birds):
    for read in image_folder, inspect_folder:
        with pytest.raises(
            ValueError, match=r"size is 200000 pixels, at which one image takes 120.0 GB; use up to 7,071"
        ):
            read(birds, size=200_000)
    assert image_folder(birds, size=np.int64(SIDE)).train.inputs.shape == (36, 3, SIDE, SIDE)


def test_a_link_out_of_the_folder_is_listed_and_not_followed(birds, tmp_path_factory, monkeypatch):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name in ("0.jpg", "1.jpg", "5.jpg"):
        os.replace(birds / "images" / name, elsewhere / name)
    os.symlink(elsewhere / "0.jpg", birds / "images/0.jpg")
    os.symlink("2.jpg", birds / "images/1.jpg")  # stays inside
    os.symlink(elsewhere, birds / "images/far")
    table = (birds / "metadata.csv").read_text().replace("images/5.jpg", "images/far/5.jpg")
    (birds / "metadata.csv").write_text(table)
    said = [
        "row 2: 'images/0.jpg': a link leads out of the folder; copy the image into it",
        "row 7: 'images/far/5.jpg': a link leads out of the folder; copy the image into it",
    ]
    opened, whole = [], Image.open
    monkeypatch.setattr(Image, "open", lambda path, **how: opened.append(path) or whole(path, **how))
    assert [str(p) for p in inspect_folder(birds, size=SIDE).table.problems] == said
    for memory in 2**30, 0:
        assert [str(p) for p in problems(birds, memory=memory).problems] == said
        with pytest.warns(UserWarning, match="2 of 60 images are left out"):
            data = image_folder(birds, size=SIDE, memory=memory, broken="leave out")
        assert len(data.train) == 34 and len(data.train.batch(torch.arange(34)).inputs) == 34
    assert opened and not any(name.endswith(("images/0.jpg", "far/5.jpg")) for name in opened)


def test_a_folder_that_is_itself_a_link_is_read(birds, tmp_path_factory):
    link = tmp_path_factory.mktemp("links") / "birds"
    os.symlink(birds, link)
    assert len(image_folder(link, size=SIDE).train) == 36


def test_where_no_image_of_a_split_can_be_used_the_reason_is_said_first(birds):
    for i in (12, 13, 14, 15, 32, 33, 34, 35, 52, 53, 54, 55):
        (birds / f"images/{i}.jpg").unlink()
    (birds / "images/0.jpg").write_bytes(b"")
    for broken in "refuse", "leave out":
        said = str(problems(birds, broken=broken)).splitlines()
        assert (
            said[1] == "  all 12 images of validation are unusable; the first, 'images/12.jpg': there is no such file"
        )
        assert "no sample" not in "".join(said) and said[-1].startswith("mend these files, and look again with")


def test_streams_that_share_files_are_refused_as_train_and_test(birds):
    splits = image_folder(birds, size=SIDE, memory=0)
    with pytest.raises(ValueError, match="3 of the 15 samples of test are in train, too"):
        here = splits.test.inputs
        files = ImageFiles(here.root, np.concatenate([here.files, splits.train.inputs.files[:3]]), SIDE)
        rest = [
            torch.cat([getattr(splits.test, name), getattr(splits.train, name)[:3]])
            for name in ("labels", "attributes")
        ]
        splits._replace(test=GroupedData(files, *rest, splits.test.label_names, splits.test.attribute_names))
    assert len(splits._replace(test=splits.test.subset([0, 1])).test) == 2
    assert len(splits._replace(test=image_folder(birds, size=SIDE).test).test) == 12  # one part in memory


def test_streams_take_the_rows_that_data_in_memory_take(birds):
    kept, streamed = (image_folder(birds, size=SIDE, memory=memory).train for memory in (2**30, 0))
    for rows in (
        [4, 1, 1],
        np.array([1, 1, 4])[::-1],
        [-2, 1],
        range(3),
        [],
        (kept.labels == 1).numpy(),
        kept.labels == 1,
    ):
        ours, theirs = streamed.subset(rows), kept.subset(rows)
        every = torch.arange(len(theirs))
        assert all(torch.equal(a, b) for a, b in zip(ours.batch(every), theirs.batch(every)))
