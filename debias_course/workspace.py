"""The student's own copies of the lectures, and the JupyterLab that opens them.

The copies lie in a folder that git ignores, so that autosave leaves the course's own notebooks alone. What a copy was
made from stands in its own metadata: copy and record are one file, written in one move. At every start, a copy whose
cells are still as they were copied is replaced where the course has a newer one; any other is the student's and stays.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any, NoReturn

from .cache import write_atomically
from .lectures.exercises import RECORD, solved

ORIGIN = "debias_course"  # where a copy's metadata say what it was copied from
IDLE = 3600  # seconds until a kernel ends that computes nothing and whose lecture no browser shows

# JupyterLab asks about news, looks for updates, keeps the kernel of a notebook that was closed, and cuts names short to
# show dates beside them. The student may set it back.
RESULT = re.compile(r"\bhere\.(claim|where|kept|answers)\(")  # a cell that shows what was measured
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension:tracker": {"kernelShutdown": True, "codeCellConfig": {"lineWrap": True}},
    "@jupyterlab/filebrowser-extension:browser": {"showLastModifiedColumn": False},
}
CLASS = ("@jupyter/nbgrader", "@jupyter-notebook/lab-extension")  # whose menus are an instructor's
WITHOUT = {"disabledExtensions": dict.fromkeys(CLASS, True)}


def copy_lectures(course: Path, mine: Path) -> list[str]:
    """Copy the lectures of folder `course` to `mine` where they are missing, or older and untouched; the names of those
    that the student has edited, and of which the course has another version by now."""
    lectures = sorted(course.glob("[0-9][0-9]_*.ipynb"))
    return [path.name for path in lectures if not bring_up_to_date(mine / path.name, path)]


def bring_up_to_date(copy: Path, original: Path) -> bool:
    """Copy `original` where nothing of the student's is lost by it; whether `copy` has its sources then, or comes from
    them."""
    content = original.read_bytes()
    book = json.loads(content)
    origin = {"file": hashlib.sha256(content).hexdigest(), "sources": sources(book)}
    if os.path.lexists(copy):
        try:
            found = json.loads(copy.read_bytes())
            before, now = found["metadata"][ORIGIN], sources(found)
            newer = {each for each in origin if before[each] != origin[each]}
        except (OSError, ValueError, LookupError, TypeError):
            return False  # whatever it is, it is the student's
        if not newer or now != before["sources"]:
            return "sources" not in newer
    make_calm(book)
    book["metadata"][ORIGIN] = origin
    write_atomically(copy, (json.dumps(book, indent=1, ensure_ascii=False) + "\n").encode())
    return True


def sources(book: dict[str, Any]) -> str:
    """A hash of what the cells of a notebook say, without outputs and counts, and without empty cells: JupyterLab adds
    one where the last cell is run."""
    texts = [(cell["cell_type"], "".join(cell["source"]).strip()) for cell in book["cells"]]
    return hashlib.sha256(json.dumps([each for each in texts if each[1]]).encode()).hexdigest()


def make_calm(book: dict[str, Any]) -> None:
    """Fold the cells that measure, which a click unfolds; leave out the results until they are run, as they would give
    a guess away; and name the kernel in JupyterLab's own words: it would write them into a lecture that is only read,
    and ask whether to save it."""
    from ipykernel.ipkernel import IPythonKernel
    from ipykernel.kernelspec import KERNEL_NAME, get_kernel_dict

    for cell in book["cells"]:
        if "measure" in cell["metadata"].get("tags", ()):
            cell["metadata"].setdefault("jupyter", {})["source_hidden"] = True
        if cell["cell_type"] == "code" and RESULT.search("".join(cell["source"])):
            cell |= {"outputs": [], "execution_count": None}
    kernel = get_kernel_dict()
    book["metadata"]["kernelspec"] = {"name": KERNEL_NAME} | {key: kernel[key] for key in ("display_name", "language")}
    book["metadata"]["language_info"] = dict(IPythonKernel.language_info)


def open_lab(course: Path, mine: Path, options: list[str]) -> NoReturn:
    """Bring the copies up to date, say where the student stands, and become JupyterLab, with further `options`."""
    mine = mine.resolve()
    home = mine / ".lab"  # hidden in the file browser; what the student sets in this JupyterLab is kept here, too
    try:
        write_atomically(home / "settings" / "overrides.json", json.dumps(SETTINGS, indent=1).encode())
        write_atomically(home / "settings" / "page_config.json", json.dumps(WITHOUT).encode())
        edited = copy_lectures(course, mine)
    except OSError as error:
        raise OSError(
            f"your lectures cannot be kept in {mine} ({error.strerror or error}); make room there or allow writing, or "
            "name another folder: debias-course lab --folder ~/my_lectures"
        ) from error
    os.environ[RECORD] = str(home / "solved")
    for name in edited:
        print(f"{name}: you edited yours, so it stays; to get the course's newer one, rename yours and start again")
    counts = [f"{lecture[:2]} {row.solved}/{row.exercises}" for lecture, row in solved().iterrows()]
    print(f"your lectures: {mine}\nexercises solved: {', '.join(counts)}\nto end it: Ctrl-C, twice", flush=True)
    seen = any((home / "workspaces").glob("*"))  # then JupyterLab opens what was open last
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={mine}"]
    command += [f"--LabApp.default_url={'/lab' if seen else '/lab/tree/00_dataset_bias.ipynb'}"]
    command += [f"--LabApp.app_settings_dir={home / 'settings'}", f"--LabApp.user_settings_dir={home / 'user'}"]
    command += [f"--LabApp.workspaces_dir={home / 'workspaces'}", "--LabApp.extension_manager=readonly"]
    command += ["--Application.log_level=WARN", f"--MappingKernelManager.cull_idle_timeout={IDLE}"]
    command += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    os.execv(sys.executable, command + options)
