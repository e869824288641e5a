"""How a reader of a page gets the notebook to run: in JupyterLab, on Colab and on Binder, or as a file."""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

INSTALL = """\
# Brings the course where it is missing, as on Colab.
import importlib.util
import sys

if importlib.util.find_spec("debias_course") is None:
    !git clone -q --depth 1 {repository} debias_course_files
    %pip install -q -e ./debias_course_files
    sys.path.insert(0, "debias_course_files")"""


def repository(root: Path) -> str:
    """The address of this clone's origin, for browsers; "" where it has none on the web."""
    done = subprocess.run(["git", "remote", "get-url", "origin"], cwd=root, capture_output=True, text=True)
    return web_address(done.stdout.strip())


def web_address(origin: str) -> str:
    """ "git@github.com:o/r.git" and "https://token@github.com/o/r.git" -> "https://github.com/o/r"; "" for a path."""
    found = re.fullmatch(r"(?:https?://|ssh://)?(?:[^@/]+@)?([\w-]+(?:\.[\w-]+)+)[:/](.+?)(?:\.git)?/?", origin)
    return f"https://{found[1]}/{found[2]}" if found else ""


def bar(name: str, address: str) -> str:
    """The row of links below the title of a lecture, in HTML, for the course's repository at `address`."""
    file = f"{name}.ipynb"
    links = [f'<a href="{file}" download>Download</a>']
    host, _, path = address.removeprefix("https://").partition("/")
    if host == "github.com":  # Colab opens the copy of the branch that holds the site: its first cell installs
        opened = f"https://colab.research.google.com/github/{path}/blob/gh-pages/notebooks/{file}"
        links.insert(0, f'<a href="{opened}">Colab</a>')
    if kind := {"github.com": "gh", "gitlab.com": "gl"}.get(host):
        where = path if kind == "gh" else quote(path, safe="")
        opened = f"https://mybinder.org/v2/{kind}/{where}/HEAD?urlpath=lab/tree/notebooks/{file}"
        links.insert(1, f'<a href="{opened}">Binder</a>')
    clone = f"git clone {html.escape(address)}<br>" if address else ""
    return (
        '<div class="course-bar"><details><summary>JupyterLab</summary><p>In a terminal, then open '
        f"<code>{file}</code>:</p><pre>{clone.replace('<br>', chr(10))}make lab</pre></details>"
        f'{"".join(links)}<button type="button" class="course-all" hidden>Show all results</button></div>\n'
    )


def copy(book: dict[str, Any], address: str) -> bytes:
    """The notebook to download: as stored, with a first cell that brings the course where it is missing."""
    install = dict(cell_type="code", id="install", metadata={}, execution_count=None, outputs=[])
    source = INSTALL.format(repository=address).splitlines(keepends=True)
    cells = [*([install | dict(source=source)] if address else []), *book["cells"]]
    return (json.dumps(book | dict(cells=cells), indent=1, ensure_ascii=False) + "\n").encode()
