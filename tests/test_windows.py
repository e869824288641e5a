"""Images of more than 8 bits, whose values a window turns into shades, and images of one channel."""

import io
import json
import shlex
import struct
import zlib

import numpy as np
import pytest
import torch
from folders import SIDE, make
from PIL import Image, ImageOps

from debias_course import cli, evaluate, models, study, train
from debias_course.comparison import compare
from debias_course.data import FolderError, ImageFiles, from_dataset, from_datasets, image_folder, inspect_folder
from debias_course.data.folder import folder_source
from debias_course.data.streaming import decode
from debias_course.large.spread import shared
from debias_course.methods import ERM, GroupDRO

RAMP = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
WIDE = (0, 65535)
KINDS = [("png", "<u2"), ("tif", "<u2"), ("tif", ">u2"), ("tif", "<i4"), ("tif", "<f4"), ("ppm", "<i4")]


def saved(path, values, **how):
    Image.fromarray(values).save(path, **how)
    return str(path)


def by_hand(values, window):
    low, high = window
    return np.rint(np.clip((values.astype(float) - low) * 255 / (high - low), 0, 255))


def scans(folder, ending="png", kind=np.uint16, scale=257):
    """Twenty digits whose pixels are from 0 to 65535."""
    make(folder, 20, name=f"images/{{}}.{ending}")
    for path in (folder / "images").iterdir():
        saved(path, np.asarray(Image.open(path).convert("L")).astype(kind) * kind(scale))
    return folder


@pytest.mark.parametrize("window", [WIDE, (1000, 3000), (40000.5, 40001), (65535, 0), (-1000, 70000), (0, 510)])
@pytest.mark.parametrize("ending, kind", KINDS)
def test_a_ramp_has_the_shades_that_its_window_says(tmp_path, ending, kind, window):
    path = saved(tmp_path / f"a.{ending}", RAMP.astype(kind))
    image = decode(path, 256, window)
    assert image.dtype == np.uint8 and image.shape == (3, 256, 256)
    assert (image == by_hand(RAMP, window)).all()
    assert np.array_equal(decode(path, 256, window, grey=True), image[:1])


def test_large_whole_numbers_keep_their_last_digits(tmp_path):
    path = saved(tmp_path / "a.tif", (2**30 + np.arange(256, dtype=np.int32)).reshape(16, 16))
    assert decode(path, 16, (2**30, 2**30 + 255), True).flatten().tolist() == [*range(256)]


def test_numbers_beyond_all_windows_are_cut_off(tmp_path):
    values = np.array([[-3e38, 3e38], [0, 1e-30]], np.float32)
    path = saved(tmp_path / "a.tif", values)
    assert decode(path, 2, (0, 1e-30), True).flatten().tolist() == [0, 255, 0, 255]
    assert decode(path, 2, (0, 5e-324), True).flatten().tolist() == [0, 255, 0, 255]
    assert decode(path, 1, (-1, 1), True).item() == 64  # the first two cancel out, and the others are 127.5 each


def bilinear(before, after):
    """Pillow's weights, [after, before]: a triangle as wide as the scale on both sides."""
    scale = before / after
    away = (np.arange(before) + 0.5 - (np.arange(after)[:, None] + 0.5) * scale) / scale
    weights = np.clip(1 - abs(away), 0, None)
    return weights / weights.sum(1, keepdims=True)


@pytest.mark.parametrize("ending, kind", KINDS)
def test_an_image_is_scaled_before_it_is_cut_off_and_rounded(tmp_path, ending, kind):
    noise = np.random.default_rng(0).permutation(RAMP.flatten()).reshape(256, 256)
    path, window, weights = saved(tmp_path / f"a.{ending}", noise.astype(kind)), (30000, 36000), bilinear(256, 32)
    exact = weights @ noise.astype(float) @ weights.T
    ours, shade = decode(path, 32, window, True)[0], np.clip((exact - 30000) * 255 / 6000, 0, 255)
    tie = abs(shade % 1 - 0.5) < 1e-3
    assert tie.mean() < 0.01 and (ours == np.rint(shade))[~tie].all()
    cut_before = np.rint(weights @ by_hand(noise, window) @ weights.T)
    assert 0 < (ours == 0).sum() and abs(ours - cut_before).max() > 20


@pytest.mark.parametrize("ending, kind", KINDS[:5])
def test_deep_images_are_turned_and_cut_to_the_middle(tmp_path, ending, kind):
    turned = Image.Exif()
    turned[0x0112] = 6  # by a quarter
    wide = RAMP[:64, :128].astype(kind)
    path = saved(tmp_path / f"a.{ending}", wide, exif=turned)
    assert np.array_equal(decode(path, 64, WIDE)[0], np.rot90(by_hand(wide, WIDE)[:, 32:96], -1))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "LA", "CMYK"])
@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
def test_eight_bits_stay_as_they_were_and_grey_is_pillows(tmp_path, mode, ending):
    colours = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    try:
        Image.fromarray(colours).convert(mode).save(tmp_path / f"a.{ending}")
    except OSError:
        pytest.skip("there are no such files")
    rgb = Image.open(tmp_path / f"a.{ending}").convert("RGB")
    fit = lambda image: np.asarray(ImageOps.fit(image, (16, 16), Image.Resampling.BILINEAR))  # noqa: E731
    assert np.array_equal(decode(str(tmp_path / f"a.{ending}"), 16), fit(rgb).transpose(2, 0, 1))
    assert np.array_equal(decode(str(tmp_path / f"a.{ending}"), 16, grey=True), fit(rgb.convert("L"))[None])


NAN = np.array([[0, np.nan], [0, 1]], np.float32)


@pytest.mark.parametrize(
    "values, window, said",
    [
        (RAMP[:3, 5:9], None, r"its pixels are I;16, from 5 to 520; say which values are black and white: window=\(lo"),
        (RAMP.astype(np.int32) - 7, None, "its pixels are I, from -7 to 65528; say .*, or --window LOW,HIGH"),
        (RAMP.astype(np.float32) / 10, None, "its pixels are F, from 0 to 6553.5; say which values"),
        (NAN, None, r"some of its pixels are NaN or infinite \(F\); replace these, or leave the image out"),
        (NAN, (0, 1), "some of its pixels are NaN"),
        (np.float32([[np.inf]]), (0, 1), "some of its pixels are NaN or infinite"),
        (
            np.uint8([[3]]),
            (0, 1),
            "it is read with 8 bits, and a window is for more; leave the window out, or give all",
        ),
    ],
)
def test_what_does_not_go_with_a_window_is_said(tmp_path, values, window, said):
    with pytest.raises(ValueError, match=said):
        decode(saved(tmp_path / "a.tif", values), 2, window)


def test_a_stack_of_deep_images_is_refused_and_of_an_animation_the_first_is_taken(tmp_path):
    pages = [Image.fromarray(RAMP + i) for i in range(3)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    for window in None, WIDE:
        with pytest.raises(ValueError, match="it has 3 pages; save each one that is meant as a file of its own"):
            decode(str(tmp_path / "a.tif"), 8, window)
    frames = [Image.new("L", (8, 8), shade) for shade in (10, 200)]
    for ending in "gif", "tif":
        frames[0].save(tmp_path / f"b.{ending}", save_all=True, append_images=frames[1:])
        assert (decode(str(tmp_path / f"b.{ending}"), 8) == 10).all()


def test_a_dicom_file_is_known_by_its_name(tmp_path):
    scans(tmp_path)
    table = (tmp_path / "metadata.csv").read_text()
    (tmp_path / "metadata.csv").write_text(table.replace("images/3.png", "images/3.DCM"))
    with pytest.raises(FolderError, match=r"'images/3.DCM': there is no such file"):
        image_folder(tmp_path, size=SIDE, window=WIDE)
    (tmp_path / "images/3.DCM").write_bytes(bytes(128) + b"DICM")
    with pytest.raises(FolderError, match="'images/3.DCM': it is a DICOM file; convert it to a PNG or TIFF of 16 bits"):
        image_folder(tmp_path, size=SIDE, window=WIDE)


@pytest.mark.parametrize("window", [(1, 1), (1,), (0, 1, 2), 5, "05", (0, float("nan")), (0, float("inf")), {0, 1}])
def test_other_windows_are_refused_at_the_door(tmp_path, window):
    make(tmp_path, 20)
    files = lambda **how: ImageFiles(".", np.array(["a"]), 8, **how)  # noqa: E731
    items = lambda **how: from_dataset([(RAMP, "a"), (RAMP, "b")], **how)  # noqa: E731
    folders = [lambda of=of, **how: of(tmp_path, **how) for of in (image_folder, inspect_folder, folder_source)]
    for door in (*folders, files, items):
        with pytest.raises(ValueError, match=r"window is .*; give two different numbers, \(low, high\): the values"):
            door(window=window)


def test_grey_is_yes_or_no(tmp_path):
    make(tmp_path, 20)
    for read in image_folder, inspect_folder:
        with pytest.raises(ValueError, match="grey is 'yes'; use True or False"):
            read(tmp_path, grey="yes")
    with pytest.raises(ValueError, match="grey is 2; use True or False"):
        ImageFiles(".", np.array(["a"]), 8, grey=2)


@pytest.mark.parametrize("ending, kind", [("png", np.uint16), ("tif", np.float32)])
@pytest.mark.parametrize("grey", [False, True])
def test_a_folder_of_scans_streams_as_it_is_kept(tmp_path, ending, kind, grey):
    how = dict(size=SIDE, window=[0, 30000], grey=grey)
    kept, streamed = (image_folder(scans(tmp_path, ending, kind), memory=m, **how) for m in (2**30, 0))
    assert kept.train.inputs.shape == streamed.train.inputs.shape == (12, 1 if grey else 3, SIDE, SIDE)
    assert torch.equal(kept.train.inputs, streamed.train.inputs.index_select(0, torch.arange(12)))
    assert kept.train.inputs.nbytes == streamed.train.inputs.nbytes and int(kept.train.inputs.max()) == 255
    assert torch.equal(
        streamed.train.subset([3]).batch(torch.tensor([0])).inputs, kept.train.batch(torch.tensor([3]))[0]
    )
    assert shared(streamed.train).inputs.pixels == streamed.train.inputs.pixels
    runs = [train(models.cnn(part.train), part.train, epochs=1, device="cpu") for part in (kept, streamed)]
    assert evaluate(runs[0].model, kept.test) == evaluate(runs[1].model, streamed.test)


def test_images_of_both_kinds_are_refused_with_a_window_and_without(tmp_path):
    saved(scans(tmp_path) / "images/2.png", np.uint8([[1, 2]]))
    with pytest.raises(FolderError) as caught:
        image_folder(tmp_path, size=SIDE, window=WIDE)
    assert [each.row for each in caught.value.problems] == [4] and "it is read with 8 bits" in str(caught.value)
    with pytest.raises(FolderError) as caught:
        image_folder(tmp_path, size=SIDE)
    assert len([each for each in caught.value.problems if "from 0 to 65535; say" in str(each)]) >= 19


def test_two_windows_are_two_data_sets_and_tried_apart(tmp_path):
    scans(tmp_path)
    how = dict(size=SIDE, memory=0)
    with pytest.raises(FolderError, match="say which values are black and white"):
        image_folder(tmp_path, **how)
    windows = [WIDE, (0, 30000), (30000, 0)]
    data = [image_folder(tmp_path, window=window, grey=grey, **how) for window in windows for grey in (False, True)]
    data += [image_folder(tmp_path, size=SIDE, window=window) for window in windows]
    assert len({each.train.fingerprint() for each in data}) == 9
    assert data[0].train.fingerprint() == image_folder(tmp_path, window=np.array(WIDE), **how).train.fingerprint()
    with pytest.raises(FolderError, match="say which values are black and white"):
        image_folder(tmp_path, **how)


def test_the_report_counts_channels_and_repeats_the_window(tmp_path):
    report = inspect_folder(scans(tmp_path), size=SIDE, window=(-1000, 4000.5), grey=True)
    assert report.takes(SIDE) == 20 * SIDE * SIDE and not report.table.problems
    assert "in the window -1000,4000.5, 256 shades are left from black to white" in str(report)
    assert "--size 16 --window -1000,4000.5 --grey --methods" in report.command
    with pytest.raises(ValueError, match="size is 200000 pixels, at which one image takes 40.0 GB"):
        inspect_folder(tmp_path, size=200_000, grey=True)


@pytest.mark.slow
def test_without_a_window_the_report_says_the_range_of_all(tmp_path):
    rows = make(tmp_path, name="images/{}.png")
    for i, file in enumerate(rows["img_filename"]):
        Image.fromarray(np.full((4, 4), 100 + i, np.uint16)).save(tmp_path / file)
    said = str(inspect_folder(tmp_path, size=SIDE))
    assert "60 images need a window: together, their values go from 100 to 159; a window that keeps all" in said
    assert "--window 100,159" in said and "compare" not in said  # nothing is left to compare on
    assert "need a window" not in str(inspect_folder(tmp_path, size=SIDE, window=(100, 159)))


def test_a_study_of_scans_keeps_its_runs_by_their_window(tmp_path):
    scans(tmp_path)
    how = dict(model=models.linear, epochs=1, seeds=2, n_jobs=1, progress=False, device="cpu")
    source = lambda **more: folder_source(tmp_path, size=SIDE, memory=0, grey=True, **more)  # noqa: E731
    first, other = (study({"plain": ERM()}, source(window=window), **how) for window in ([0, 65535], [0, 500]))
    assert study({"plain": ERM()}, source(window=WIDE), **how).records == first.records  # kept, seconds and all
    losses = [[row["loss"] for row in each.records[0]["history"]] for each in (first, other)]
    assert losses[0] != losses[1]
    table = compare({"plain": ERM(), "dro": GroupDRO()}, source(window=WIDE), trials=1, **how).table
    assert len(table) == 2


def run(*words):
    return cli.main([str(word) for word in words])


@pytest.mark.slow
def test_the_command_line_takes_a_window_and_says_so(tmp_path, capsys):
    folder, out = scans(tmp_path / "scans"), tmp_path / "out"
    assert run("inspect", folder) == 1
    assert "its pixels are I;16, from 0 to 65535; say which" in capsys.readouterr().out
    assert run("inspect", folder, "--size", SIDE, "--window", "-1000,40000", "--grey") == 0
    words = shlex.split(capsys.readouterr().out.strip().splitlines()[-1])
    replaced = {"resnet18": "linear", "5": "1", "3": "1"}
    assert run(*(replaced.get(word, word) for word in words[1:]), "--trials", 1, "--out", tmp_path / "table") == 0
    printed = capsys.readouterr().out
    assert "size 16, window -1000,40000, grey True" in " ".join(printed.split())
    how = ["train", "--data", folder, "--size", SIDE, "--memory", 0, "--model", "cnn", "--epochs", 1, "--out", out]
    assert run(*how, "--window", "0,65535", "--grey") == 0
    facts = json.loads((out / "settings.json").read_text())
    assert facts["configuration"]["data"] == f"{folder}, size 16, window 0,65535, grey True"
    assert torch.load(out / "model.pt", weights_only=True)["features.0.weight"].shape[1] == 1
    capsys.readouterr()
    assert run(*how, "--window", "0,65534.5", "--grey") == 2
    assert "(its data, its start or the code" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, said",
    [
        (["--window", "5"], "--window is '5'; write LOW,HIGH, two different numbers: the values of pixels"),
        (["--window", "7,7"], "--window is '7,7'; write LOW,HIGH"),
        (["--window", "-7,a"], "--window is '-7,a'; write LOW,HIGH"),
        (["--window", "0,nan"], "--window is '0,nan'; write LOW,HIGH"),
        (["--window", "0,1"], "--window is for a folder of images"),
        (["--grey"], "--grey is for a folder of images"),
    ],
)
def test_mistakes_on_the_command_line_get_one_sentence(capsys, words, said):
    assert run("compare", *words) == 2
    assert said in capsys.readouterr().err


def as_pil(values):
    file = io.BytesIO()
    Image.fromarray(values).save(file, "TIFF")
    return Image.open(file)


FORMS = {
    "I;16": as_pil,
    "I;16B": lambda values: as_pil(values.astype(">u2")),
    "I": lambda values: as_pil(values.astype(np.int32)),
    "F": lambda values: as_pil(values.astype(np.float32)),
    "uint16": lambda values: values,
    "int32": lambda values: values.astype(np.int32),
    "float64": lambda values: values.astype(float),
    "int64 tensor": lambda values: torch.from_numpy(values.astype(np.int64))[None],
    "float tensor": lambda values: torch.from_numpy(values.astype(np.float32))[None],
    "bfloat16 tensor": lambda values: torch.from_numpy(values.astype(np.float32))[None].bfloat16(),
}


@pytest.mark.parametrize("form", FORMS)
def test_items_of_a_dataset_take_the_same_window(form):
    scaled = RAMP[:8, :6] * np.uint16(32)  # up to 2^16, and exact as bfloat16 where 256 · 2^n
    values = scaled // 2048 * 2048 if form.startswith("bf") else scaled
    items = [(FORMS[form](values + i * np.uint16(2048)), "ab"[i % 2]) for i in range(6)]
    data = from_dataset(items, window=(2048, 60000))
    assert data.inputs.dtype == torch.uint8 and data.inputs.shape == (6, 1, 8, 6)
    for i in range(6):
        assert np.array_equal(data.inputs[i, 0], by_hand(values + i * np.uint16(2048), (2048, 60000)))
    if "float" in form:
        assert from_dataset(items).inputs.dtype == torch.float32  # as they are
    else:
        kind = form.removesuffix(" tensor")
        with pytest.raises(ValueError, match=rf"item 0 of dataset: its pixels are {kind}, from 0 to .*; say .*\(low"):
            from_dataset(items)


@pytest.mark.parametrize(
    "image, said",
    [
        (np.zeros((4, 4), np.uint8), "item 1 of dataset: it is read with 8 bits"),
        (Image.new("RGBA", (4, 4)), "item 1 of dataset: it is read with 8 bits"),
        (torch.zeros(1, 4, 4, dtype=torch.uint8), "item 1 of dataset: it is read with 8 bits"),
        (np.full((4, 4), np.nan), r"item 1 of dataset: some of its pixels are NaN or infinite \(float64\)"),
        (np.zeros((1, 4, 6)), r"item 1 .* its image has the shape \(1, 4, 6\); give \[H, W\], or \[H, W, C\]"),
        (np.zeros((4, 4), bool), "item 1 of dataset: its image is .*bool.*; give PIL images"),
        ("a.png", "item 1 of dataset: its image is .*; give PIL images"),
    ],
)
def test_items_that_do_not_go_with_a_window_are_named(image, said):
    with pytest.raises(ValueError, match=said):
        from_dataset([(RAMP[:4, :4], "a"), (image, "b")], window=WIDE)


@pytest.mark.slow
def test_deep_items_go_through_a_study_and_a_comparison():
    def scanned(seed):
        generator = np.random.default_rng(seed)
        items = [[(generator.integers(0, 4096, (6, 6), np.uint16), i % 2, i // 2 % 2) for i in range(8)] for _ in "abc"]
        return from_datasets(*items, attribute=2, window=(0, 4095))

    how = dict(model=models.linear, epochs=1, seeds=2, n_jobs=1, progress=False, device="cpu")
    assert len(study({"plain": ERM()}, scanned, **how).table) == 8
    assert len(compare({"plain": ERM(), "dro": GroupDRO()}, scanned, trials=1, **how).table) == 2


@pytest.mark.slow
def test_known_networks_see_one_channel_as_three_equal_ones(tmp_path):
    how = dict(size=SIDE, window=WIDE)
    one, three = (image_folder(scans(tmp_path), grey=grey, **how).train for grey in (True, False))
    build = lambda part: models.pretrained(part, name="shufflenet_v2_x0_5", weights=False).eval()  # noqa: E731
    assert torch.equal(*(build(part)(part.batch(torch.arange(4)).inputs) for part in (one, three)))
    for name in models.MODELS:
        assert models.MODELS[name](one)(one.batch(torch.arange(4)).inputs).shape == (4, 2)


def tiff(values, kind, photometric=1):
    """The bytes of a small TIFF file: Pillow writes no such."""
    rows, columns = values.shape
    pixels = values.tobytes()
    tags = [(256, columns), (257, rows), (258, 8 * values.itemsize), (259, 1), (262, photometric), (273, 8), (277, 1)]
    tags += [(278, rows), (279, len(pixels)), (339, kind)]
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, number, 0) for tag, number in tags)
    return b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels + struct.pack("<H", len(tags)) + entries + b"\0" * 4


def test_whole_numbers_of_32_bits_may_have_no_sign(tmp_path):
    path, values = tmp_path / "a.tif", np.array([[0, 1], [2**31 + 5, 2**32 - 1]], "<u4")
    path.write_bytes(tiff(values, 1))
    assert decode(str(path), 2, (0, 2**32 - 1))[0].tolist() == [[0, 0], [128, 255]]
    path.write_bytes(tiff(np.array([[-100, 0], [50, 100]], "<i4"), 2))
    assert decode(str(path), 2, (-100, 100))[0].tolist() == [[0, 128], [191, 255]]


def channels(values, kind):
    """A PNG file of 16 bits in several channels, which Pillow does not write either."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


SCAN = np.array([[0, 1000], [2000, 4095]], np.uint16)


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("a.pgm", b"P5 2 2 4095\n" + SCAN.astype(">u2").tobytes(), "whose values would be stretched; save it as a PNG"),
        (
            "a.tif",
            tiff(SCAN, 1, photometric=0),
            "0 is white in it .the TIFF says WhiteIsZero.; save it with 0 as",
        ),
        ("a.png", channels(np.stack([SCAN] * 3, -1), 2), "it has 16 bits in each of several channels; save it with 8"),
        ("a.png", channels(np.stack([SCAN] * 2, -1), 4), "it has 16 bits in each of several channels; save it with 8"),
    ],
)
@pytest.mark.parametrize("window", [None, (0, 4095)])
def test_what_pillow_would_change_without_a_word_is_refused(tmp_path, name, content, said, window):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=said):
        decode(str(tmp_path / name), 2, window)
