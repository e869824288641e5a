"""benchmark: what it prints has the promised form (its figures are not tested: machines differ)."""

import json
import sys

import pytest

from debias_course import benchmark, models


@pytest.mark.slow
def test_every_row_has_a_name_a_ratio_and_a_target(monkeypatch, capsys):
    monkeypatch.setattr(models, "MODELS", {"mlp": models.linear, "cnn": models.linear})
    monkeypatch.setattr(sys, "argv", ["benchmark", "--json", "--repeats", "1"])
    monkeypatch.setattr(benchmark, "DRAWN", 2000)
    monkeypatch.setattr(benchmark, "NEIGHBOURS", [(50, 4, 1)])
    monkeypatch.setattr(benchmark, "LISTED", 3000)
    monkeypatch.setattr(benchmark, "LISTED", 3000)
    monkeypatch.setattr(benchmark, "IMAGES", 1000)
    monkeypatch.setattr(benchmark, "STEPS", 3)
    benchmark.main()
    rows = json.loads(capsys.readouterr().out)
    assert {"name", "ratio", "target"} <= set(rows[0]) and all(row["ratio"] >= 0 for row in rows)
    names = [row["name"] for row in rows]
    assert "resnet18 on 1,000 JPEGs: waiting for images / all" in names
    assert "opening a table of 3,000 images / reading it with pandas" in names
    assert "opening a table of 3,000 images / reading it with pandas" in names
    assert "panel of the shortcut: moved slider / empty figure" in names
    assert "SMOTE, 50 in 4: imbalanced-learn / ours" in names
    assert "mlp: train, ERM / limit" in names and "cnn: DataLoader loop / limit" in names
    assert [row["target"] for row in rows if row["name"] == "mlp: train, ERM / limit"] == [1.25]


def test_one_part_can_be_measured_alone(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmark", "--only", "draw", "--repeats", "1"])
    monkeypatch.setattr(benchmark, "DRAWN", 2000)
    benchmark.main()
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith("cost of one / of the other")
    assert [row.split(" / ")[0] for row in rows] == ["draw of 2,000 in 4 groups", "draw of 2,000 in 1,000 groups"]
