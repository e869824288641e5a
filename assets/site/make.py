"""Make the site from the stored notebooks, the documents and the docstrings: python assets/site/make.py

Sources for Sphinx are written to build/site/sources, a mirror of the repository so that its links hold; the pages go to
`site`. What has not changed is left alone, so that a second call takes seconds.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))  # workers import what is beside this file
DOCUMENTS = ("CLAIMS.md", "CHANGELOG.md", "CONTRIBUTING.md", "INSTRUCTORS.md", "LICENSE", "assets/*.png")
DOCUMENTS += ("assets/class/SERVER.md",)
API = sorted((HERE / "api").glob("*.md"))
WIDE = b"---\nhtml_theme.sidebar_secondary.remove: true\n---\n\n"  # no list of contents beside a page of wide tables
MENU = """
```{{toctree}}
:hidden:
:caption: {caption}

{pages}
```
"""


def write(path: Path, content: bytes) -> None:
    """Write what is new, so that Sphinx reads only that again."""
    if not path.exists() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def prepare(sources: Path, root: Path = ROOT) -> None:
    """Write the sources of the site, and remove those of pages that are gone."""
    import launch
    import pages

    address, extra = launch.repository(root), sources / "extra"
    shutil.rmtree(extra, ignore_errors=True)
    made = {path.relative_to(root): path.read_bytes() for each in DOCUMENTS for path in root.glob(each)}
    made[Path("CLAIMS.md")] = WIDE + made[Path("CLAIMS.md")]
    made |= {Path("api", path.name): path.read_bytes() for path in API}
    names = []
    for path in sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        book = json.loads(path.read_text(encoding="utf-8"))
        write(extra / "notebooks" / path.name, launch.copy(book, address))
        page = pages.page(book, path.stem, launch.bar(path.stem, address), extra / "panels", "../panels/")
        made[Path("notebooks", path.name)] = (json.dumps(page, ensure_ascii=False) + "\n").encode()
        names.append(path.stem)
        print(path.stem, flush=True)
    made[Path("index.md")] = front_page(root, names).encode()
    for gone in {each for each in sources.glob("*/*") if each.is_file()} - {sources / each for each in made}:
        gone.unlink()
    for name, content in made.items():
        write(sources / name, content)


def front_page(root: Path, names: list[str]) -> str:
    """The README with the menu of the site."""
    menus = {
        "Lectures": [f"notebooks/{name}" for name in names],
        "Results": ["CLAIMS"],
        "Library": [f"api/{path.stem}" for path in API],
        "To teach": ["INSTRUCTORS", "assets/class/SERVER"],
        "The course": ["CONTRIBUTING", "CHANGELOG"],
    }
    text = (root / "README.md").read_text(encoding="utf-8")
    return text + "".join(MENU.format(caption=name, pages="\n".join(each)) for name, each in menus.items())


def arguments(home: Path) -> list[str]:
    """For Sphinx: make pages of home/sources in home/pages, and let no warning pass."""
    sources = home / "sources"
    given = ["-c", HERE, "-W", "--keep-going", "-q", "-j", "auto", "-d", home / "read"]
    return list(map(str, [*given, "-D", f"html_extra_path={sources / 'extra'}", sources, home / "pages"]))


def main(home: Path, site: Path) -> int:
    """Make the pages in `home`, where what is not new is left alone, and put a copy of them in the place of `site`."""
    from sphinx.cmd.build import build_main

    prepare(home / "sources")
    shutil.rmtree(home / "pages" / "panels", ignore_errors=True)  # pictures of settings that are no longer there
    if build_main(arguments(home)):
        print("the site was not made; Sphinx says above why")
        return 1
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(home / "pages", site)
    print(f"open {site / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(ROOT / "build" / "site", ROOT / "site"))
