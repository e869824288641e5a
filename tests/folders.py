"""Folders of small images, made from the digits, for the tests."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from debias_course.data import FolderError, image_folder, load_digits

SIDE = 16


def picture(path, image, side=(24, 30), **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image.numpy()).convert("RGB").resize(side).save(path, **how)


def make(folder, n=60, table=None, name="images/{}.jpg", **columns):
    """n digits as JPEG files with the Waterbirds table: 3 in 5 train, and a group of its own in each of four."""
    images, _ = load_digits()
    rows = pd.DataFrame(dict(img_id=range(n), img_filename=[name.format(i) for i in range(n)]))
    rows["y"] = [i % 2 for i in range(n)]
    rows["split"] = [(0, 0, 0, 1, 2)[i // 4 % 5] for i in range(n)]
    rows["place"] = [i // 2 % 2 for i in range(n)]
    rows["place_filename"] = "x"
    for i, file in enumerate(rows["img_filename"]):
        picture(folder / file, images[i * 7])
    rows = rows.assign(**columns)
    rows.to_csv(folder / "metadata.csv", index=False)
    return rows


def problems(folder, **how):
    with pytest.raises(FolderError) as caught:
        image_folder(folder, size=SIDE, **how)
    return caught.value


def celeba(folder, n=40):
    images, _ = load_digits()
    names = [f"{i:06d}.jpg" for i in range(1, n + 1)]
    for name, image in zip(names, images):
        picture(folder / "img_align_celeba" / name, image)
    signs = np.array([-1, 1])
    columns = dict(image_id=names, Blond_Hair=signs[np.arange(n) % 2], Male=signs[np.arange(n) // 2 % 2], Young=1)
    pd.DataFrame(columns).to_csv(folder / "list_attr_celeba.csv", index=False)
    split = [(0, 0, 0, 1, 2)[i // 4 % 5] for i in range(n)]
    partition = pd.DataFrame(dict(image_id=names, partition=split))
    partition.to_csv(folder / "list_eval_partition.csv", index=False)
    return partition


def as_text(folder):
    """CelebA's tables as its authors give them, instead of the CSV files."""
    attributes, partition = (pd.read_csv(folder / f"list_{name}.csv") for name in ("attr_celeba", "eval_partition"))
    names, lines = " ".join(attributes.columns[1:]), attributes.to_string(header=False, index=False)
    (folder / "list_attr_celeba.txt").write_text(f"{len(attributes)}\n{names} \n{lines}\n")
    (folder / "list_eval_partition.txt").write_text(partition.to_csv(sep=" ", header=False, index=False))
    for name in ("attr_celeba", "eval_partition"):
        (folder / f"list_{name}.csv").unlink()
