"""Set-up: what a user meets before the course runs."""

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


CONDA = {"torch": "pytorch", "matplotlib": "matplotlib-base"}  # where conda-forge's name is another


def test_environment_yml_agrees_with_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    python, *packages, pip, nested = environment["dependencies"]
    assert python == f"python{PROJECT['requires-python']}" and pip == "pip" and nested == {"pip": ["-e ."]}
    needed = [re.fullmatch(r"([a-z-]+)(>=[\d.]+)", each).groups() for each in PROJECT["dependencies"]]
    assert sorted(packages) == sorted(f"{CONDA.get(name, name)}{bound}" for name, bound in needed)
    assert environment["channels"] == ["conda-forge"]


def test_bounds_are_open_above():
    extras = PROJECT["optional-dependencies"]
    needed = PROJECT["dependencies"] + extras["site"] + extras["class"]
    assert all(re.fullmatch(r"[a-z-]+>=[\d.]+", each) for each in needed)


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def clone(tmp_path):
    """A clone whose Python pretends: it logs its calls, makes an empty environment, and pip does what FAIL says."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    script(
        tmp_path / "python", 'echo "$*" >> log; case "$*" in *venv*) mkdir -p .venv/bin; cp python .venv/bin/;; esac'
    )
    return tmp_path


def make(clone, *arguments):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *arguments], cwd=clone, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL
    )


def test_setup_is_done_once(clone):
    assert make(clone, "setup", "PYTHON=./python").returncode == 0
    calls = (clone / "log").read_text()
    assert "-m venv .venv" in calls and "pip install" in calls
    assert make(clone, "setup", "PYTHON=./python").returncode == 0
    assert (clone / "log").read_text() == calls


def test_the_site_needs_nothing_but_setup(clone):
    assert make(clone, "site", "PYTHON=./python").returncode == 0
    *_, install, last = (clone / "log").read_text().splitlines()
    assert "-e .[test]" in install and last == "assets/site/make.py"
    assert "debias-course[class,dask,ray,site]" in PROJECT["optional-dependencies"]["test"]


def test_the_class_needs_nothing_but_setup_and_goes_where_it_is_told(clone):
    assert make(clone, "class", "PYTHON=./python").returncode == 0
    assert make(clone, "class", "OUT=my course", "REVEAL=yes").returncode == 0
    *_, install, first, second = (clone / "log").read_text().splitlines()
    assert "-e .[test]" in install and (first, second) == (
        "assets/class/course.py class",
        "assets/class/course.py --reveal my course",
    )


@pytest.mark.parametrize(
    "broken, sentence",
    [
        ('case "$*" in *version_info*) exit 1;; esac', "The course needs Python 3.10 or newer as ./python"),
        ('case "$*" in *venv*) exit 1;; esac', "on Debian and Ubuntu: sudo apt install python3-venv"),
        (
            'case "$*" in *venv*) mkdir -p .venv/bin; cp python .venv/bin/;; *pip*) exit 1;; esac',
            "The installation did not finish. The first one needs a network",
        ),
    ],
)
def test_what_goes_wrong_in_setup_is_one_sentence_and_can_be_repaired(clone, broken, sentence):
    working = (clone / "python").read_text()
    script(clone / "python", broken)
    done = make(clone, "setup", "PYTHON=./python")
    assert done.returncode != 0 and sentence in done.stdout and not (clone / ".venv" / ".ready").exists()
    (clone / "python").write_text(working)
    assert make(clone, "setup", "PYTHON=./python").returncode == 0 and (clone / ".venv" / ".ready").exists()


def test_the_readme_opens_with_the_two_commands():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.index("make lab") < 1500 and readme.index("make test") < 1500


def test_readme_links_lead_somewhere():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:|#)([^)]+)\)", readme)
    assert targets and all((ROOT / target).exists() for target in targets)


@pytest.mark.slow
def test_the_readme_example_runs(capsys):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", readme, flags=re.S)
    exec(compile(example, "README.md", "exec"), {})
    assert "overall" in capsys.readouterr().out
