"""benchmark: what it prints has the promised form (its figures are not tested: machines differ)."""

import json
import re
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
    monkeypatch.setattr(benchmark, "IMAGES", 1000)
    monkeypatch.setattr(benchmark, "STEPS", 3)
    benchmark.main()
    rows = json.loads(capsys.readouterr().out)
    assert {"name", "ratio", "target"} <= set(rows[0]) and all(row["ratio"] >= 0 for row in rows)
    names = [row["name"] for row in rows]
    assert "resnet18 on 1,000 JPEGs: waiting for images / all" in names
    assert "opening a table of 3,000 images / reading it with pandas" in names
    assert "opening a tree of 600 images / walking through it" in names
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


@pytest.mark.slow
def test_rows_of_a_million_images_tell_seconds_and_memory(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmark", "--only", "opening", "--repeats", "1"])
    monkeypatch.setattr(benchmark, "LISTED", 3000)
    benchmark.main()
    _, *rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 3 and "auditing 3,000 predictions / reading both tables with pandas" in rows[1]
    assert all(re.search(r"at most 12\.00 +\d+\.\d s, \d+ MB$", row) for row in rows)


def load_script():
    import importlib.util
    from pathlib import Path

    where = Path(__file__).parents[1] / "assets" / "benchmarks" / "gpu.py"
    spec = importlib.util.spec_from_file_location("gpu", where)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_script_for_a_gpu_leaves_its_figures(tmp_path, monkeypatch, capsys):
    """Tried on the CPU, with small networks and one repeat."""
    script = load_script()
    small = dict(mlp=lambda: [dict(name="mlp: train, ERM / limit", ratio=1.0)])
    monkeypatch.setattr(script.benchmark, "on_device", lambda device, repeats: small)
    monkeypatch.setattr(models, "cnn", models.linear)
    code = script.main(["--device", "cpu", "--repeats", "1", "--epochs", "1", "--out", str(tmp_path)])
    (path,) = tmp_path.glob("*.json")
    facts = json.loads(path.read_text())
    assert code == 0 and str(path) in capsys.readouterr().out
    assert {"card", "torch", "cuda", "tests", "steps", "five_seeds", "verdicts", "minutes"} <= set(facts)
    assert "skipped" in facts["tests"] or "passed" in facts["tests"]
    assert set(facts["verdicts"]["cpu"]) == {"loss re-weighting", "Group DRO"} and facts["five_seeds"]["cpu"] > 0


def test_the_script_says_where_there_is_no_gpu(monkeypatch, capsys):
    script = load_script()
    monkeypatch.setattr(script.torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        script.main([])
    assert "there is no GPU that torch can use; run it where there is one" in capsys.readouterr().err


@pytest.mark.slow
def test_the_steps_on_another_device_have_no_target(monkeypatch):
    monkeypatch.setattr(models, "MODELS", {"mlp": models.linear, "cnn": models.linear})
    monkeypatch.setattr(benchmark, "BATCHES", {"mlp": 1})
    rows = benchmark.on_device("cpu", 1)["mlp"]()
    assert set(benchmark.on_device("cpu", 1)) == {"mlp", "resnet18"} and len(rows) == 9
