"""report: one page that needs nothing else, numbers for programs, and folders that hold one comparison."""

import csv
import dataclasses
import html.parser
import json
import math
import multiprocessing
import os
import time
from functools import partial

import pandas as pd
import pytest

from debias_course import models, report
from debias_course.comparison import Comparison, Trial, compare
from debias_course.data import Splits, long_tailed_digits, toys
from debias_course.evaluation import GroupReport
from debias_course.methods import ERM, GroupDRO, LossReweighting
from debias_course.study import Study

METHODS = {"plain": ERM(), "weights": LossReweighting(power=0.5), "DRO": GroupDRO()}
CONFIGURATION = dict(data="a toy", seeds="2", lr=0.05)
small = partial(
    compare, METHODS, partial(toys.shortcut, n=120), model=models.linear, epochs=2, lr=0.05, n_jobs=1, progress=False
)


@pytest.fixture(scope="module")
def found():
    return small(seeds=2, trials=2)


@pytest.fixture
def unpainted(monkeypatch):
    """Reports without their picture, which takes a quarter of a second."""
    monkeypatch.setattr(report.figures, "png", lambda figure: b"a picture")


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.images, self.outside, self.words, self.open = [], [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "img":
            self.images.append(attributes)
        elif tag not in ("meta", "br"):
            self.open.append(tag)
        self.outside += [v for k, v in attributes.items() if k in ("src", "href") and not v.startswith("data:")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data


@pytest.mark.slow
def test_the_page_says_everything_and_needs_nothing_but_itself(found, tmp_path):
    with report.taken(tmp_path, CONFIGURATION):
        report.write(tmp_path, found, CONFIGURATION)
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert not page.outside and not page.open and "@import" not in page.words and "url(" not in page.words
    assert len(page.images) == 2 and all(name in image["alt"] for image in page.images for name in METHODS)
    facts = json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8"))
    for word in ("a toy", "seeds: 2", "0.05", *facts["versions"].values(), *facts["code"].values(), "power=0.5"):
        assert word in page.words
    for group in found.study.group_names:
        assert group in page.words
    assert "minus plain" in page.words and "needs group labels in validation" in page.words


def test_the_files_hold_the_numbers_of_the_comparison(found, tmp_path):
    with report.taken(tmp_path, CONFIGURATION):
        written = report.write(tmp_path, found, CONFIGURATION)
    assert sorted(path.name for path in written) == sorted(set(os.listdir(tmp_path)) - {".lock", ".running"})
    assert (tmp_path / "results.csv").read_text() == found.study.table.to_csv(index=False)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "results.csv"), found.study.table, check_dtype=False)
    search = pd.read_csv(tmp_path / "search.csv", keep_default_na=False)
    assert len(search) == 6 and search["chosen"].sum() == 3 and (search["score"] == found.searched["score"]).all()
    facts = json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8"))
    assert facts["configuration"] == CONFIGURATION and facts["finished"] and facts["seeds"] == [0, 1]
    rows = {row["method"]: row for row in facts["table"]}
    assert rows["DRO"]["worst_group"] == pytest.approx(found.study.mean("DRO").value)
    assert rows["plain"]["difference"] is None and rows["DRO"]["needs"] == "group labels"
    assert len(set(facts["code"].values())) == 3
    assert (tmp_path / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_one_seed_has_no_interval_and_a_method_left_out_has_a_reason(tmp_path):
    found = small(seeds=1, trials=1)
    table = report.readable(found)
    assert not table.astype(str).apply(lambda column: column.str.contains(r"\(")).any().any()
    assert set(table["rank"]) == {"1 to 3"} and "Not told apart from plain" in report.in_words(found)
    assert "of one seed" in report.in_words(found) and "seeds" not in report.in_words(found)
    object.__setattr__(found, "left_out", {"D<ANN": "it asks for <domains>"})
    report.write(tmp_path, found, CONFIGURATION)
    assert "D<ANN was left out: it asks for <domains>" in Page((tmp_path / "report.html").read_text()).words


def test_a_group_without_test_samples_is_empty():
    def lacking(seed):
        splits = toys.shortcut(n=120, seed=seed)
        return splits._replace(test=splits.test.subset(splits.test.groups != 1))

    how = dict(model=models.linear, epochs=1, seeds=2, trials=1, n_jobs=1, progress=False)
    found = compare({"plain": ERM()}, lacking, **how)
    assert report.by_group(found).iloc[0].tolist().count("") == 1
    assert report.readable(found)["train-weighted"].tolist() == [""]
    with pytest.raises(ValueError, match="has training but no test samples"):
        compare({"plain": ERM()}, lacking, metric="train_weighted", **how)


def test_another_metric_has_its_column():
    how = dict(model=models.linear, epochs=1, seeds=2, trials=1, n_jobs=1, progress=False, metric="few_shot")
    found = compare({"plain": ERM(), "weights": LossReweighting()}, long_tailed_digits, **how)
    assert list(report.readable(found).columns[1:5]) == ["few-shot", "minus plain", "rank", "worst group"]
    assert found.table["few_shot"].tolist() == [found.study.mean(name, "few_shot").value for name in found.study.names]


def test_words_say_what_the_intervals_allow():
    from test_comparison import study_of

    values = dict(base=(500, 510, 505), up=(600, 640, 610), down=(300, 309, 303), maybe=(560, 500, 530))
    trials = {name: Trial(name, ERM(), 0.1, 0.0) for name in values}
    found = Comparison([*trials.values()], trials, study_of(**values), "base", "worst_group", "validation-mean", {})
    assert report.in_words(found).splitlines()[:3] == [
        "Better than base in worst group accuracy: up.",
        "Worse than base in worst group accuracy: down.",
        "Not told apart from base in worst group accuracy: maybe.",
    ]
    assert "needs class labels in validation" in report.in_words(found)


def take(folder, configuration):
    with report.taken(folder, configuration):
        pass


def test_a_folder_is_taken_by_one_configuration(found, tmp_path, unpainted):
    folder = tmp_path / "with späces"
    take(folder, CONFIGURATION | dict(lr=0.1))  # a mistake that was noticed
    take(folder, CONFIGURATION)
    take(folder, CONFIGURATION)  # as after an interruption
    with pytest.raises(FileExistsError, match=r"for another comparison \(lr: 0.05, and now 0.1\); choose another"):
        report.write(folder, found, CONFIGURATION | dict(lr=0.1))
    report.write(folder, found, CONFIGURATION)
    take(folder, CONFIGURATION)
    for another in (CONFIGURATION | dict(metric="overall"), {k: v for k, v in CONFIGURATION.items() if k != "lr"}):
        with pytest.raises(FileExistsError, match="metric: None, and now overall|lr: 0.05, and now None"):
            take(folder, another)
        with pytest.raises(FileExistsError, match="is for another comparison"):
            report.write(folder, found, another)


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        "",
        "[1, 2",
        "[]",
        "null",
        "[" * 100_000,
        '{"configuration": null}',
        '{"configuration": [1], "finished": true}',
        '{"configuration": [["lr", 1]], "finished": true}',
        '{"configuration": "", "finished": true}',
        '{"configuration": {}, "finished": "yes"}',
    ],
    ids=lambda content: content[:40],
)
def test_what_others_wrote_is_not_overwritten(found, tmp_path, content, unpainted):
    (tmp_path / "comparison.json").write_text(content)
    for use in take, partial(report.write, found=found):
        with pytest.raises(
            FileExistsError, match="comparison.json was not written by a comparison, or is damaged; choose another"
        ):
            use(tmp_path, configuration=CONFIGURATION)
    assert (tmp_path / "comparison.json").read_text() == content
    (tmp_path / "comparison.json").rename(tmp_path / "results.csv")
    with pytest.raises(FileExistsError, match="results.csv was not written by a comparison"):
        take(tmp_path, CONFIGURATION)


@pytest.mark.slow
def test_a_crash_while_writing_leaves_a_folder_that_does_not_say_finished(found, tmp_path, monkeypatch):
    report.write(tmp_path, found, CONFIGURATION)
    write, names = report.write_atomically, []

    def full_disk(path, content):
        names.append(path.name)
        if len(names) == 3:
            raise OSError("no space left")
        write(path, content)

    monkeypatch.setattr(report, "write_atomically", full_disk)
    with pytest.raises(OSError, match="no space left"):
        report.write(tmp_path, found, CONFIGURATION)
    assert json.loads((tmp_path / "comparison.json").read_text())["finished"] is False
    monkeypatch.setattr(report, "write_atomically", write)
    take(tmp_path, CONFIGURATION)
    report.write(tmp_path, found, CONFIGURATION)
    assert json.loads((tmp_path / "comparison.json").read_text())["finished"] is True


def test_nothing_that_is_named_becomes_html(tmp_path):
    evil = {"plain<b>": ERM(), 'w<i>"&': LossReweighting()}
    how = dict(model=models.linear, epochs=1, seeds=2, trials=2, n_jobs=1, progress=False)
    found = compare(evil, partial(toys.shortcut, n=60), **how)
    report.write(tmp_path, found, {"<script>": "<u>"})
    text = (tmp_path / "report.html").read_text()
    assert not any(tag in text for tag in ("<b>", "<i>", "<script>", "<u>"))
    page = Page(text)
    assert all(name in page.words for name in (*evil, "<script>: <u>"))
    assert all('w<i>"&' in image["alt"] for image in page.images)


def _hold(folder, held, release):
    with report.alone_in(folder):
        held.set()
        release.wait(20)


@pytest.mark.slow
def test_who_writes_waits_for_who_is_writing(found, tmp_path):
    context = multiprocessing.get_context("fork")
    held, release = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, held, release))
    holder.start()
    assert held.wait(20)
    writer = context.Process(target=report.write, args=(tmp_path, found, CONFIGURATION))
    writer.start()
    writer.join(2)
    assert writer.is_alive() and not (tmp_path / "comparison.json").exists()
    release.set()
    writer.join(20)
    holder.join(20)
    assert writer.exitcode == holder.exitcode == 0 and (tmp_path / "comparison.json").exists()


def _write_many(folder, found):
    for _ in range(4):
        report.write(folder, found, CONFIGURATION)


@pytest.mark.slow
def test_files_of_two_that_write_at_once_belong_together(tmp_path):
    one, two = small(seeds=1, trials=1), small(seeds=3, trials=1)
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=_write_many, args=(tmp_path, each)) for each in (one, two)]
    for process in both:
        process.start()
    for process in both:
        process.join()
        assert process.exitcode == 0
    facts = json.loads((tmp_path / "comparison.json").read_text())
    seeds = len(facts["seeds"])
    assert pd.read_csv(tmp_path / "results.csv")["seed"].nunique() == seeds
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".part")]
    assert math.isclose(facts["table"][0]["worst_group"], [one, two][seeds > 1].study.mean("plain").value)


def _fill(folder, configuration, held):
    with report.taken(folder, configuration):
        held.set()
        time.sleep(60)


@pytest.mark.parametrize("other", [CONFIGURATION, CONFIGURATION | dict(lr=0.1)], ids=["the same", "another"])
def test_a_folder_that_is_being_filled_is_refused_until_its_process_is_gone(tmp_path, other):
    context = multiprocessing.get_context("fork")
    held = context.Event()
    holder = context.Process(target=_fill, args=(tmp_path, CONFIGURATION, held))
    holder.start()
    assert held.wait(20)
    with pytest.raises(FileExistsError, match="is being filled by another process; wait until it is done, or choose"):
        take(tmp_path, other)
    assert json.loads((tmp_path / "comparison.json").read_text())["configuration"] == CONFIGURATION
    holder.kill()
    holder.join(20)
    take(tmp_path, other)
    assert json.loads((tmp_path / "comparison.json").read_text())["configuration"] == other


def test_a_folder_is_free_again_after_an_error(tmp_path):
    with pytest.raises(KeyboardInterrupt), report.taken(tmp_path, CONFIGURATION):
        raise KeyboardInterrupt
    take(tmp_path, CONFIGURATION)


def test_parts_of_files_that_a_kill_left_are_swept_and_those_of_others_are_not(tmp_path):
    ours, other = tmp_path / f"results.csv.{'0' * 32}.part", tmp_path / "holiday.mp4.part"
    for path in ours, other:
        path.write_text("half a")
    take(tmp_path, CONFIGURATION)
    assert other.exists() and not ours.exists()


def test_a_folder_that_cannot_be_written_is_said_at_once(tmp_path):
    (tmp_path / "file").write_text("mine")
    for folder in tmp_path / "file", tmp_path / "file" / "below":
        with pytest.raises(
            OSError, match=r"cannot be written \((File exists|Not a directory)\); choose another folder"
        ):
            take(folder, CONFIGURATION)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.slow
@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
def test_no_text_is_a_formula_for_a_spreadsheet_and_numbers_stay_numbers(tmp_path, sign, unpainted):
    def named(seed):
        names = dict(label_names=(f"{sign}cmd|calc!A0", "-1"), attribute_names=("left", "right"))
        return Splits(*(dataclasses.replace(part, **names) for part in toys.shortcut(n=60, seed=seed)))

    how = dict(model=models.linear, epochs=1, seeds=1, trials=1, n_jobs=1, progress=False)
    found = compare({f"{sign}SUM(1)": ERM()}, named, **how)
    report.write(tmp_path, found, CONFIGURATION)
    for name in "results.csv", "search.csv":
        with open(tmp_path / name, newline="") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert f"'{sign}SUM(1)".replace("\r", "\n") in cells
        assert all(cell.lstrip("-").replace(".", "").isdigit() for cell in cells if cell[:1] in set("=+-@\t\r\n"))
    table = pd.read_csv(tmp_path / "results.csv")
    assert set(table["label"]) == {f"'{sign}cmd|calc!A0".replace("\r", "\n"), "-1"} and (table["accuracy"] <= 1).all()


def test_groups_of_one_name_stay_apart():
    """Written with a comma, "a" with "b, c" and "a, b" with "c" are one name."""
    labels, attributes = ("a", "a, b"), ("b, c", "c")
    counts = vars(GroupReport((8, 3, 9, 1), (10,) * 4, labels, attributes))
    records = [dict(name=n, seed=s, report=counts, history=[], epoch=1, seconds=1.0) for s in (0, 1) for n in "xy"]
    study = Study(["x", "y"], {"x": ERM(), "y": ERM()}, [0, 1], records)
    trials = {name: Trial(name, ERM(), 0.1, 0.0) for name in "xy"}
    found = Comparison([*trials.values()], trials, study, "x", "worst_group", "validation-mean", {})
    table = report.by_group(found)
    assert list(table.columns) == ["method", "a, b, c", "a, c", "a, b, b, c", "a, b, c"]
    assert table.to_numpy().tolist() == [[name, "0.800", "0.300", "0.900", "0.100"] for name in "xy"]
