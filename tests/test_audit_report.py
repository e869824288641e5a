"""What an audit says, on the command line and as a page."""

import re

import numpy as np
import pandas as pd
import pytest

from debias_course import cli, figures
from debias_course.audit import count, report


@pytest.fixture
def folder(tmp_path):
    """48 images of the test split, of two labels and three sites; the model never finds ill ones of site C."""
    inside = tmp_path / "images"
    inside.mkdir()
    rows = pd.DataFrame(dict(img_filename=[f"{i}.png" for i in range(96)], split=[2, 2, 2, 2, 2, 2, 0, 1] * 12))
    rows["y"] = [("healthy", "ill")[i % 2] for i in range(96)]
    rows["place"] = [f"site {'ABC'[i // 2 % 3]}" for i in range(96)]
    rows.to_csv(inside / "metadata.csv", index=False)
    found = ["healthy" if site == "site C" else y for y, site in zip(rows["y"], rows["place"])]
    given = pd.DataFrame(dict(image=rows["img_filename"], prediction=found, probability=0.75))
    given.to_csv(tmp_path / "predictions.csv", index=False)
    return tmp_path


def run(folder, *more):
    command = ["evaluate", "--data", folder / "images", "--predictions", folder / "predictions.csv", *more]
    return cli.main([str(each) for each in command])


def test_the_command_says_for_whom_the_model_fails_and_leaves_a_page(folder, capsys):
    assert run(folder, "--out", folder / "out") == 0
    printed = capsys.readouterr().out
    assert "test: 72 predictions, 2 labels × 3 attributes" in printed
    assert re.search(r"ill, site C +12 +0\.000 \(0\.00 to 0\.24\)", printed.splitlines()[3])
    assert "\nIt fails most for ill, site C: right in 0.0% of 12 samples, and in " in printed
    gap = r"true positive rate \(equal opportunity\) +ill 1\.000 \(0\.\d\d to 1\.00\)"
    gap += r" +site A 1\.000 \(n=12\) +site C 0\.000 \(n=12\)"
    assert re.search(gap, printed)
    assert re.search(r"selection rate \(demographic parity\) +ill 0\.500", printed)
    assert re.search(r"site C +24 +0\.75 +0\.5 \+0\.250 \(\+0\.\d\d to \+0\.\d\d\) +0\.25", printed)
    for name in (*report.FILES, report.FACTS):
        assert f"{folder / 'out' / name}" in printed
    page = (folder / "out" / "audit.html").read_text(encoding="utf-8")
    assert (
        "It fails most for ill, site C" in page
        and "Calibration" in page
        and 'src="data:image/png' in page
        and "http" not in page
    )
    gaps = pd.read_csv(folder / "out" / "gaps.csv").set_index("measure")[["gap", "highest", "lowest"]]
    assert gaps.loc["true positive rate"].tolist() == [1, "site A", "site C"]
    assert len(pd.read_csv(folder / "out" / "groups.csv")) == 6


def test_a_model_that_is_as_right_for_all_fails_nobody_most():
    answers = np.array([0, 1, 0, 1])
    found = count(answers, np.array([0, 0, 1, 1]), answers, ["no", "yes"], ["A", "B"])
    assert "\n\nIt is right as often in all groups: in 100.0% of the samples\n" in report.text(found)


def test_without_probabilities_there_is_no_calibration_and_an_old_one_goes(folder, capsys):
    assert run(folder, "--out", folder / "out") == 0
    table = pd.read_csv(folder / "predictions.csv").drop(columns="probability")
    table.to_csv(folder / "predictions.csv", index=False)
    assert run(folder, "--out", folder / "out", "--positive", "healthy") == 0
    printed = capsys.readouterr().out.rpartition("predictions, 2 labels")[2]
    assert "calibration" not in printed and not (folder / "out" / "calibration.csv").exists()
    assert re.search(r"false positive rate +healthy 1\.000", printed)


def test_mistakes_get_one_sentence(folder, capsys):
    def said(*more):
        assert run(folder, *more) == 2
        return capsys.readouterr().err

    assert "positive is 'sick'; use one of 'healthy', 'ill'" in said("--positive", "sick")
    assert "images has files of something else in it, such as metadata.csv; choose another" in said(
        "--out", folder / "images"
    )
    assert "did you mean place?" in said("--attribute", "plase")
    pd.read_csv(folder / "predictions.csv")[5:].to_csv(folder / "predictions.csv", index=False)
    assert "5 of 72 images of test have no prediction, such as '0.png'; predict them, too, or name another" in said()
    (folder / "predictions.csv").unlink()
    assert "there is no file" in said()


def test_many_groups_and_labels_are_shown_by_their_worst():
    labels = [i % 5 for i in range(400)]
    attributes = [i // 5 % 20 for i in range(400)]
    wrong = [0 if (y, a) == (3, 7) else y for y, a in zip(labels, attributes)]
    found = count(labels, attributes, wrong, list("abcde"), [f"site {i}" for i in range(20)])
    lines = report.text(found).splitlines()
    assert "d, site 7" in lines[1] and lines[1 + report.SHOWN] == "and 88 more groups, none worse"
    assert sum("true positive rate" in line for line in lines) == 1 and len(found.gaps()) == 1 + 4 * 5
    picture = report.picture(found)
    names = [text.get_text() for text in picture.axes[0].get_yticklabels()]
    assert names[0] == "d, site 7" and len(names) == report.SHOWN
    assert "d, site 7 0.00" in figures.alt_text(picture) and "true positive rate: d 1.00" in figures.alt_text(picture)


def test_where_one_attribute_is_all_there_is_no_gap():
    found = count([0, 1, 1], [0, 0, 0], [0, 1, 0], ("a", "b"), ("everybody",))
    assert found.gaps()["gap"].isna().all() and "b, everybody" in report.text(found)
    assert "Gaps: none known." in figures.alt_text(report.picture(found))


def test_a_folder_keeps_its_audit_and_whatever_else_is_in_it(folder, capsys):
    out = folder / "out"
    out.mkdir()
    (out / "groups.csv").write_text("precious")
    assert run(folder, "--out", out) == 2 and (out / "groups.csv").read_text() == "precious"
    assert "out has files of something else in it, such as groups.csv; choose another folder" in capsys.readouterr().err
    (out / "groups.csv").unlink()
    assert run(folder, "--out", out) == run(folder, "--out", out) == 0
    assert run(folder, "--out", out, "--split", "all") == 2
    said = capsys.readouterr().err
    assert "out holds another audit (split: test, and now all); choose another folder, or delete that one" in said
    assert run(folder, "--out", folder / "predictions.csv") == 2
    assert "predictions.csv is a file; name a folder" in capsys.readouterr().err


def test_without_an_attribute_there_is_no_empty_table(folder, capsys):
    assert run(folder, "--no-attribute", "--out", folder / "out") == 0
    printed = capsys.readouterr().out
    assert report.ALONE in printed and "NaN" not in printed and "equal opportunity" not in printed
    page = (folder / "out" / "audit.html").read_text(encoding="utf-8")
    assert report.ALONE in page and "equal opportunity" not in page


def test_at_a_tie_nobody_is_ahead():
    found = count([0, 1, 0, 1], [0, 0, 1, 1], [0, 1, 0, 1], ("no", "yes"), ("A", "B"))
    row = report.readable(found.gaps()).iloc[0]
    assert row["highest"] == "1.000 (n=2)" and row["lowest"] == "1.000 (n=2)"
