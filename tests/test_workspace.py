"""The student's copies of the lectures: nothing that a student wrote is lost, and JupyterLab is calm around them."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from test_browser import CHROMIUM, FLAGS, is_local, wait_for

from debias_course import cli, workspace
from debias_course.lectures import exercises
from debias_course.lectures.dataset_bias import exercises as lecture_00
from debias_course.workspace import copy_lectures

ROOT = Path(__file__).parents[1]
NAMES = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
FIRST, SECOND = NAMES[:2]


@pytest.fixture
def course(tmp_path):
    """Two lectures of a course that can change."""
    (tmp_path / "notebooks").mkdir()
    for name in (FIRST, SECOND):
        shutil.copy(ROOT / "notebooks" / name, tmp_path / "notebooks")
    return tmp_path / "notebooks"


@pytest.fixture
def mine(course):
    """A student's copies of them."""
    assert copy_lectures(course, course.parent / "mine") == []
    return course.parent / "mine"


def change(path, edit):
    book = nbformat.read(path, as_version=4)
    edit(book)
    nbformat.write(book, path)


def rewrite(book):
    book.cells[3].source += "\n\nWritten by hand."


def run(book):
    """What JupyterLab changes when a student runs a lecture, saves it, and has folded a cell."""
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.execution_count, cell.outputs = 77, []
    book.cells[1].metadata["collapsed"] = True
    book.cells.append(nbformat.v4.new_code_cell(""))


def written(path):
    return "Written by hand." in path.read_text(encoding="utf-8")


RESULTS = "here.claim(", "here.where(", "here.kept(", "here.answers("


def test_the_copies_say_and_show_what_the_lectures_do_but_results_and_fold_what_measures(tmp_path):
    assert copy_lectures(ROOT / "notebooks", tmp_path) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == NAMES
    for name in NAMES:
        ours, copy = (nbformat.read(folder / name, as_version=4) for folder in (ROOT / "notebooks", tmp_path))
        nbformat.validate(copy)
        for cell, copied in zip(ours.cells, copy.cells, strict=True):
            expected = dict(cell)
            if "measure" in cell.metadata.get("tags", ()):
                expected["metadata"] = cell.metadata | {"jupyter": {"source_hidden": True}}
            if cell.cell_type == "code" and any(each in cell.source for each in RESULTS):
                expected |= {"outputs": [], "execution_count": None}
            assert copied == expected


def test_copies_that_are_up_to_date_are_left_alone(course, mine):
    before = {path: path.stat().st_mtime_ns for path in mine.iterdir()}
    assert copy_lectures(course, mine) == []
    change(mine / FIRST, run)
    ran = (mine / FIRST).read_bytes()
    assert copy_lectures(course, mine) == [] and (mine / FIRST).read_bytes() == ran
    assert (mine / SECOND).stat().st_mtime_ns == before[mine / SECOND]


def test_a_lecture_that_was_only_run_is_updated(course, mine):
    change(mine / FIRST, run)
    change(course / FIRST, rewrite)
    assert copy_lectures(course, mine) == [] and written(mine / FIRST)


def test_new_outputs_of_the_course_reach_an_untouched_copy_only(course, mine):
    change(mine / SECOND, rewrite)
    for name in (FIRST, SECOND):
        change(course / name, run)
    edited = (mine / SECOND).read_bytes()
    assert copy_lectures(course, mine) == []
    assert nbformat.read(mine / FIRST, as_version=4).cells[1].execution_count == 77
    assert (mine / SECOND).read_bytes() == edited


def test_an_edited_lecture_stays_and_is_named_once_the_course_has_another(course, mine):
    change(mine / FIRST, rewrite)
    edited = (mine / FIRST).read_bytes()
    assert copy_lectures(course, mine) == []  # edited, and nothing new to be had
    for name in (FIRST, SECOND):
        change(course / name, lambda book: book.cells.pop())
    for _ in range(2):
        assert copy_lectures(course, mine) == [FIRST] and (mine / FIRST).read_bytes() == edited
    (mine / FIRST).rename(mine / "my 00.ipynb")
    assert copy_lectures(course, mine) == []
    assert (mine / "my 00.ipynb").read_bytes() == edited and not written(mine / FIRST)


@pytest.mark.parametrize("edit", ["swap", "remove", "type"])
def test_whatever_changes_what_a_lecture_says_is_an_edit(course, mine, edit):
    def by_hand(book):
        if edit == "swap":
            book.cells[1:3] = book.cells[2:0:-1]
        elif edit == "remove":
            del book.cells[-1]
        else:
            book.cells[1] = nbformat.v4.new_markdown_cell(book.cells[1].source)

    change(mine / FIRST, by_hand)
    edited = (mine / FIRST).read_bytes()
    change(course / FIRST, rewrite)
    assert copy_lectures(course, mine) == [FIRST] and (mine / FIRST).read_bytes() == edited


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b"\xff",
        b'{"cells": [], "metadata": {}}',
        b'{"metadata": {"debias_course": 3}, "cells": []}',
    ]
    + [b'{"cells": [1], "metadata": {"debias_course": {"file": "", "sources": ""}}}', "half", "own"],
)
def test_a_file_that_is_no_copy_is_the_students(course, mine, content):
    if content == "half":  # as while JupyterLab saves it, or after a full disk
        content = (mine / FIRST).read_bytes()[:50_000]
    elif content == "own":
        content = (course / SECOND).read_bytes()
    (mine / FIRST).write_bytes(content)
    assert copy_lectures(course, mine) == [FIRST] and (mine / FIRST).read_bytes() == content


def test_neither_a_folder_nor_a_dangling_link_is_replaced(course, mine):
    for name in (FIRST, SECOND):
        (mine / name).unlink()
    (mine / FIRST).mkdir()
    (mine / SECOND).symlink_to("somewhere else")
    assert copy_lectures(course, mine) == [FIRST, SECOND] and (mine / FIRST).is_dir() and (mine / SECOND).is_symlink()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "Ctrl-C"])
def test_an_interrupted_update_leaves_the_old_copies_and_is_done_at_the_next_start(course, mine, monkeypatch, error):
    change(mine / FIRST, run)
    before = {path.name: path.read_bytes() for path in mine.iterdir()}
    change(course / FIRST, rewrite)

    def half(path, content):
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise error

    with monkeypatch.context() as patched, pytest.raises(type(error)):
        patched.setattr(Path, "write_bytes", half)
        copy_lectures(course, mine)
    assert {path.name: path.read_bytes() for path in mine.iterdir()} == before
    assert copy_lectures(course, mine) == [] and written(mine / FIRST)


def test_several_starts_at_once_leave_whole_copies(course):
    mine = course.parent / "mine"
    for text in ("first", "second"):
        change(course / FIRST, lambda book, text=text: book.cells[0].update(source=text))
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda _: copy_lectures(course, mine), range(16))) == [[]] * 16
        assert sorted(path.name for path in mine.iterdir()) == [FIRST, SECOND]
        assert nbformat.read(mine / FIRST, as_version=4).cells[0].source == text


class Started(Exception):
    """JupyterLab would run now."""


@pytest.fixture
def start(monkeypatch, tmp_path):
    """Start the lab with copies in tmp_path/mine; the command that would run."""

    def execute(_, command):
        raise Started(command)

    def start(*options):
        with pytest.raises(Started) as started:
            cli.main(["lab", "--folder", str(tmp_path / "mine"), *options])
        return started.value.args[0]

    monkeypatch.setattr(os, "execv", execute)
    monkeypatch.setenv(exercises.RECORD, "")  # as it is put back afterwards
    return start


def test_the_lab_keeps_all_that_is_its_own_in_the_folder_of_the_copies(start, tmp_path, capfd):
    command, mine = start("--no-browser"), tmp_path / "mine"
    options = dict(each[2:].split("=", 1) for each in command if "=" in each)
    assert options["ServerApp.root_dir"] == str(mine) and "--no-browser" in command
    for each in ("app_settings_dir", "user_settings_dir", "workspaces_dir"):
        assert Path(options[f"LabApp.{each}"]).is_relative_to(mine / ".lab")
    assert json.loads((mine / ".lab" / "settings" / "overrides.json").read_text()) == workspace.SETTINGS
    assert json.loads((mine / ".lab" / "settings" / "page_config.json").read_text()) == workspace.WITHOUT
    assert sorted(path.name for path in mine.iterdir()) == [".lab", *NAMES]
    assert options["LabApp.default_url"] == f"/lab/tree/{FIRST}"
    assert f"your lectures: {mine}\n" in capfd.readouterr().out


def test_the_next_start_opens_what_was_open_last(start, tmp_path):
    start()
    (tmp_path / "mine" / ".lab" / "workspaces").mkdir()
    (tmp_path / "mine" / ".lab" / "workspaces" / "default.jupyterlab-workspace").touch()
    assert "--LabApp.default_url=/lab" in start()


def test_the_lab_says_what_is_solved_and_how_to_get_a_newer_lecture(start, tmp_path, capfd):
    start()
    assert "exercises solved: 00 0/3, 01 0/3" in capfd.readouterr().out
    lecture_00.worst_group.check(lecture_00.worst_group.solution)  # the environment now names the record
    change(tmp_path / "mine" / SECOND, lambda book: book.metadata["debias_course"].update(sources="older"))
    start()
    said = capfd.readouterr().out
    assert "exercises solved: 00 1/3, 01 0/3" in said
    assert (
        f"{SECOND}: you edited yours, so it stays; to get the course's newer one, rename yours and start again" in said
    )


def test_a_folder_that_cannot_be_written_is_a_sentence_with_a_remedy(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert cli.main(["lab", "--folder", str(tmp_path / "file" / "mine")]) == 2
    said = capsys.readouterr().err
    assert f"debias-course: your lectures cannot be kept in {tmp_path / 'file' / 'mine'} (Not a directory); " in said
    assert "name another folder: debias-course lab --folder" in said and said.count("\n") == 1


def test_the_usual_folder_is_beside_the_course_and_ignored_by_git(start, monkeypatch):
    folders = []
    monkeypatch.setattr(workspace, "open_lab", lambda course, mine, options: folders.append((course, mine)))
    cli.main(["lab"])
    assert folders == [(ROOT / "notebooks", ROOT / "my_lectures")]
    assert "my_lectures/" in (ROOT / ".gitignore").read_text().splitlines()


def answered(exercise, answer, capsys):
    exercise.check(answer)
    return capsys.readouterr().out


def test_what_is_solved_is_remembered_once_the_lab_asks_for_it(monkeypatch, tmp_path, capsys):
    exercise, right, record = lecture_00.worst_group, lecture_00.worst_group.solution, tmp_path / "a" / "solved"
    assert answered(exercise, right, capsys) == "solved\n" and exercises.solved()["solved"].sum() == 0
    monkeypatch.setenv(exercises.RECORD, str(record))
    assert answered(exercise, lambda *_: None, capsys).startswith("not yet: ") and not record.exists()
    for _ in range(2):
        assert answered(exercise, right, capsys) == "solved\n"
    assert answered(exercise, None, capsys).startswith("not yet: ")  # it was solved, though
    table = exercises.solved()
    assert list(table.index) == [name.removesuffix(".ipynb") for name in NAMES]
    others = len(NAMES) - 1
    assert table["solved"].tolist() == [1] + [0] * others and table["exercises"].tolist() == [3] * len(NAMES)


def test_a_record_that_cannot_be_kept_costs_no_answer(monkeypatch, tmp_path, capsys):
    (tmp_path / "solved").touch()
    monkeypatch.setenv(exercises.RECORD, str(tmp_path / "solved"))
    assert answered(lecture_00.worst_group, lecture_00.worst_group.solution, capsys) == "solved\n"
    assert exercises.solved()["solved"].sum() == 0


class Server:
    """A Jupyter server of its own, with nobody's settings."""

    def __init__(self, home, command, **options):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address, self.log = f"http://127.0.0.1:{self.port}", home / "log"
        environment = {f"JUPYTER_{name}_DIR": str(home / "jupyter" / name) for name in ("CONFIG", "DATA", "RUNTIME")}
        environment = os.environ | environment | {"JUPYTER_TOKEN": "secret", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", *(str(each).format(port=self.port) for each in command)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, **options)

    def __enter__(self):
        wait_for(f"{self.address}/api", self.process, self.log)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)

    def ask(self, path, content=None):
        headers = {"Authorization": "token secret", "Content-Type": "application/json"}
        body, method = (None, "GET") if content is None else (json.dumps(content).encode(), "PUT")
        request = urllib.request.Request(f"{self.address}/api/{path}", body, headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)


@pytest.mark.slow
def test_jupyter_at_the_repositorys_root_opens_and_saves_notebooks_and_twins_as_they_are(tmp_path):
    """With jupytext, and with notebooks that are newer than their twins, as after they were executed or saved."""
    clone = tmp_path / "clone"
    shutil.copytree(ROOT / "notebooks", clone / "notebooks", ignore=shutil.ignore_patterns(".*", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", clone)
    twins = sorted((clone / "notebooks" / "text").glob("*.py"))
    for twin in twins:
        os.utime(twin, (1e9, 1e9))
    books = [*(clone / "notebooks" / name for name in NAMES), *twins]
    before = {path: path.read_bytes() for path in books}
    command = ["jupyterlab", "--no-browser", "--allow-root", "--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    with Server(tmp_path, command, cwd=clone) as server:
        for path in books:
            place = f"contents/{path.relative_to(clone).as_posix()}"
            book = server.ask(place)
            assert book["type"] == "notebook" and len(book["content"]["cells"]) >= 25  # twins, too: this is jupytext
            server.ask(place, {"type": "notebook", "content": book["content"]})
    assert {path: path.read_bytes() for path in books} == before


@pytest.fixture
def browser():
    from playwright.sync_api import sync_playwright

    assert CHROMIUM, "CI installs Chromium before the tests; it is missing"
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS.split())
        yield browser
        browser.close()


def opened(browser, server):
    """JupyterLab in a new window, when its first kernel is ready."""
    page = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
    page.outside = []
    page.on("request", lambda r: None if is_local(r.url) else page.outside.append(r.url))
    page.goto(f"{server.address}/lab/tree/{SECOND}?token=secret")
    page.get_by_text(re.compile(r"\(ipykernel\) \| Idle")).wait_for(timeout=90_000)
    return page


def until(true, seconds=20):
    for _ in range(seconds * 5):
        if true():
            return True
        time.sleep(0.2)
    return False


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None and not os.environ.get("CI"), reason="no Chromium on this machine")
def test_the_lab_is_calm(browser, tmp_path):
    """Lectures only, measurements folded, no toast or question, no kernel of a closed lecture, a theme that stays."""
    mine = tmp_path / "mine"
    command = ["debias_course.cli", "lab", "--no-browser", "--port", "{port}", "--folder", mine]
    with Server(tmp_path, command) as server:
        page = opened(browser, server)
        assert page.locator(".jp-DirListing-itemText").all_inner_texts() == NAMES
        folded = page.locator(".jp-InputPlaceholder")
        book = nbformat.read(mine / SECOND, as_version=4)
        measuring = sum("measure" in cell.metadata.get("tags", ()) for cell in book.cells)
        assert measuring > 0 and until(lambda: folded.count() == measuring)  # cells come one by one
        assert until(lambda: page.locator(".jp-CodeCell .cm-lineWrapping").count())  # a long line is read whole
        assert page.locator(".jp-OutputPlaceholder").count() == 0  # which would show the beginning of a verdict
        page.wait_for_timeout(3000)  # toasts and questions come late
        assert page.locator(".Toastify__toast, .jp-Dialog").all_inner_texts() == [] and page.outside == []
        assert len(server.ask("kernels")) == 1
        page.get_by_role("menuitem", name="Settings", exact=True).click()
        page.get_by_text("Theme", exact=True).hover()
        page.get_by_text("JupyterLab Dark", exact=True).click()
        assert until(lambda: page.locator("body[data-jp-theme-light=false]").count())
        page.locator("#jp-main-dock-panel .lm-TabBar-tab.lm-mod-current .lm-TabBar-tabCloseIcon").click()
        assert until(lambda: not server.ask("kernels")) and page.locator(".jp-Dialog").count() == 0
    with Server(tmp_path, command) as server:
        assert until(lambda: opened(browser, server).locator("body[data-jp-theme-light=false]").count())
    assert not (tmp_path / "jupyter" / "CONFIG" / "lab").exists()
