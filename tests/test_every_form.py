"""Every form in which people have their data goes through `train`, `study` and `compare`."""

import warnings

import numpy as np
import pytest
import torch
from folders import SIDE, as_text, celeba, make
from PIL import Image
from torch.utils.data import ConcatDataset, DataLoader, Subset

from debias_course import evaluate, models, study, train
from debias_course.comparison import compare
from debias_course.data import Splits, from_dataset, from_datasets, image_folder, smooth_labels, toys, weigh
from debias_course.methods import DANN, ERM

ITEMS = [(np.full((SIDE, SIDE, 3), 20 * i % 256, np.uint8), i % 2, i // 2 % 2) for i in range(24)]


class Photos(torch.utils.data.Dataset):
    """Items of any kind."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


def table(folder, **columns):
    make(folder, **columns)
    return folder


def tree(folder):
    for i, (image, label, _) in enumerate(ITEMS):
        path = folder / ("train", "val", "test")[i // 8] / ("cat", "dog")[label] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return folder


def scans(folder):
    for file in make(folder, name="images/{}.png")["img_filename"]:
        grey = np.asarray(Image.open(folder / file).convert("L").resize((SIDE, SIDE)), np.uint16)
        Image.fromarray(grey * 16).save(folder / file)
    return folder


TRAIN = [i // 4 % 5 < 3 for i in range(60)]  # as of `make`
AGES = ["old", "young"] * 30
NOT_IN_TRAIN = ["" if here else i // 2 % 2 for i, here in enumerate(TRAIN)]
DOMAIN = dict(y=["" if here and i // 2 % 2 else i % 2 for i, here in enumerate(TRAIN)])  # no labels of place 1
FOLDERS = {
    "waterbirds": lambda at: image_folder(table(at), size=SIDE),
    "streamed": lambda at: image_folder(table(at), size=SIDE, memory=0),
    "celeba": lambda at: (celeba(at), image_folder(at, size=SIDE))[-1],
    "celeba as text": lambda at: (celeba(at), as_text(at), image_folder(at, size=SIDE))[-1],
    "tree": lambda at: image_folder(tree(at), size=SIDE),
    "no attribute": lambda at: image_folder(table(at), size=SIDE, attribute=""),
    "several attributes": lambda at: image_folder(table(at, age=AGES), size=SIDE, attribute=["place", "age"]),
    "attribute not in train": lambda at: image_folder(table(at, place=NOT_IN_TRAIN), size=SIDE),
    "a domain without labels": lambda at: image_folder(table(at, **DOMAIN), size=SIDE),
    "weights": lambda at: image_folder(table(at, w=[0.5, 1.5] * 30), size=SIDE, columns=dict(weight="w")),
    "16 bits": lambda at: image_folder(scans(at), size=SIDE, window=(0, 4080), grey=True),
}
SUBSET = Subset(Photos(ITEMS), range(12))
THREE = Photos(ITEMS[:12]), Photos(ITEMS[12:20]), Photos(ITEMS[20:])
DICTS = [Photos([dict(image=a, label=b, place=c) for a, b, c in part.items]) for part in THREE]
PAIRS = [Photos([each[:2] for each in part.items]) for part in THREE]
SIDES = [[each[2] for each in part.items] for part in THREE]
HIDDEN = Photos([(a, None if c else b, c) for a, b, c in THREE[0].items])
DEEP = [Photos([(a[..., 0].astype(np.uint16) * 9, b, c) for a, b, c in part.items]) for part in THREE]
DATASETS = {
    "datasets": lambda: from_datasets(*THREE, attribute=2),
    "subset and union": lambda: from_datasets(SUBSET, ConcatDataset([THREE[1]]), THREE[2], attribute=2),
    "loaders": lambda: from_datasets(*(DataLoader(each, batch_size=4) for each in THREE), attribute=2),
    "dicts": lambda: from_datasets(*DICTS, attribute="place"),
    "attributes beside": lambda: from_datasets(*PAIRS, attributes=SIDES),
    "no attributes": lambda: from_datasets(*PAIRS),
    "two attributes crossed": lambda: from_datasets(*PAIRS, attributes=[dict(a=s, b=s[::-1]) for s in SIDES]),
    "attributes not in train": lambda: from_datasets(*PAIRS, attributes=(None, *SIDES[1:])),
    "some labels": lambda: from_datasets(HIDDEN, *THREE[1:], attribute=2),
    "one by one": lambda: Splits(*(from_dataset(each, attribute=2) for each in THREE)),
    "16 bits in memory": lambda: from_datasets(*DEEP, attribute=2, window=(0, 2304)),
}
TOY = toys.shortcut(n=40)
CHANGED = {
    "sample weights": lambda: TOY._replace(train=weigh(TOY.train, np.linspace(0, 2, 40))),
    "label smoothing": lambda: TOY._replace(train=smooth_labels(TOY.train, 0.1)),
}


@pytest.fixture(params=[*FOLDERS, *DATASETS, *CHANGED])
def splits(request, tmp_path, monkeypatch):
    monkeypatch.setenv("DEBIAS_COURSE_CACHE", str(tmp_path / "cache"))
    build = FOLDERS.get(request.param)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is special about some
        return build(tmp_path / "mine") if build else (DATASETS | CHANGED)[request.param]()


def test_it_goes_through_training_a_study_and_a_comparison(splits):
    """And they agree: the run of a study is that of train."""
    method = DANN() if splits.train.unlabelled else ERM()
    how = dict(epochs=2, batch_size=8, lr=0.01, select="validation-mean")
    run = train(models.mlp(splits.train, seed=0), splits.train, method, validation=splits.validation, **how)
    how |= dict(model=models.mlp, seeds=1, progress=False, n_jobs=1)
    found = study({"it": method}, splits, **how)
    assert tuple(found.records[0]["report"]["correct"]) == evaluate(run.model, splits.test).correct
    compared = compare({"it": method}, splits, trials=1, metric="overall", **how)
    assert compared.table["overall"].tolist() == found.summary["overall"].tolist() and not compared.left_out
