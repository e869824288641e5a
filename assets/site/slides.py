"""Slides of the lectures, made from the stored notebooks: python assets/site/slides.py

A deck shows, in the order of the lecture: the question, the schematic, each guess with what was measured on the slide
after it, where it breaks, the table of all answers, and the recap. Nothing is executed, and no slide loads anything
from elsewhere. The decks lie in `slides`, with reveal.js and MathJax beside them.
"""

from __future__ import annotations

import html
import importlib.util
import json
import re
import shutil
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

import pages

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GUESSES = 5  # of a deck, at most: with them it has fifteen slides
SENTENCES = 3  # of where it breaks
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="reveal/reveal.css"><link rel="stylesheet" href="reveal/theme/white.css">
<link rel="stylesheet" href="slides.css">
<script type="text/x-mathjax-config">MathJax.Hub.Config({mathjax})</script>
<script async src="mathjax/MathJax.js?config=TeX-AMS-MML_HTMLorMML-full,Safe"></script>
</head><body><div class="reveal"><div class="slides">
{slides}
</div></div><script src="reveal/reveal.js"></script>
<script>Reveal.initialize({{hash: true, width: 1100, height: 720, margin: 0.06, transition: "none", center: false,
  viewDistance: 20, mobileViewDistance: 20}})  // all slides have a size, which MathJax asks for
</script></body></html>
"""
MATHJAX = {
    "messageStyle": "none",
    "fast-preview": {"disabled": True},
    "tex2jax": {"ignoreClass": "slides", "processClass": "math"},
    "HTML-CSS": {"availableFonts": [], "webFont": "STIX-Web", "imageFont": None},
}


def formula(words: str, how: dict[str, Any]) -> str:
    left, right = (r"\[", r"\]") if how["display_mode"] else (r"\(", r"\)")
    return html.escape(left + words + right)


markdown = MarkdownIt("commonmark", {"html": True}).enable("table").use(dollarmath_plugin, renderer=formula)


def deck(book: dict[str, Any]) -> str:
    """The deck of a notebook, as a page."""
    cells = book["cells"]
    opening = source(cells[0])
    title = re.findall(r"^# (.+)", opening, flags=re.MULTILINE)[-1]
    slides = [slide(title, text(paragraph(opening, "The question.")), "course-title")]
    drawn = [each for cell in cells if ".schematic(" in source(cell) for each in shown(cell)]
    slides += [slide("The mechanism", each) for each in drawn[:1]]
    answers = {
        id: number for number, cell in enumerate(cells) for id in pages.IDS.findall(source(cell)) if is_claim(cell)
    }
    guesses = [(found[1], cell) for cell in cells if (found := pages.GUESS.search(source(cell)))]
    for id, cell in guesses[:GUESSES]:
        slides += [slide("", "".join(shown(cell)), "course-guess"), measured(cells, id, answers)]
    slides += breaks(cells)
    table = [each for cell in cells if "answers" in pages.tags(cell) for each in shown(cell)]
    slides += [slide("What the lecture says, and what we measured", each, "course-answers") for each in table]
    recap = next((section(source(cell), "Recap") for cell in cells if "## Recap" in source(cell)), "")
    slides.append(slide("Recap", text(recap.split("**Quiz**")[0])))
    return PAGE.format(title=html.escape(title), slides="\n".join(slides), mathjax=json.dumps(MATHJAX))


def measured(cells: list[dict[str, Any]], id: str, answers: dict[str, int]) -> str:
    """What answers a guess: the claim, and in which circumstances it holds."""
    claims = [each for each in shown(cells[answers[id]]) if f"{id} ·" in each] if id in answers else []
    strips = [each for cell in cells if f'here.where("{id}"' in source(cell) for each in shown(cell)]
    brief = [re.sub(r"<details>.*?</details>", "", each, flags=re.DOTALL) for each in claims]
    return slide("", "".join([*brief, *strips[:1]]), "course-result")


def breaks(cells: list[dict[str, Any]]) -> list[str]:
    """Where it breaks: the first words of that part, and its first picture."""
    starts = [
        number for number, cell in enumerate(cells) if re.search(r"^## When it breaks", source(cell), re.MULTILINE)
    ]
    for start in starts[:1]:
        words = " ".join(section(source(cells[start]), "When it breaks").strip().split("\n\n")[0].split())
        first = " ".join(re.split(r"(?<=[.?!*]) (?=[A-Z])", words)[:SENTENCES])
        pictures = [each for cell in cells[start:] if "figures.picture(" in source(cell) for each in shown(cell)]
        return [slide("Where it breaks", text(first) + "".join(pictures[:1]), "course-breaks")]
    return []


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def is_claim(cell: dict[str, Any]) -> bool:
    return pages.code(cell) and "here.claim(" in source(cell)


def shown(cell: dict[str, Any]) -> list[str]:
    """The outputs of a cell in HTML."""
    pages.colour(cell)
    return [each["data"]["text/html"] for each in cell["outputs"] if "text/html" in each.get("data", {})]


def paragraph(words: str, begin: str) -> str:
    """The paragraph that begins with bold words, without them."""
    found = [each for each in words.split("\n\n") if each.startswith(f"**{begin}**")]
    return found[0].removeprefix(f"**{begin}**") if found else ""


def section(words: str, title: str) -> str:
    """What stands below a title, up to the next."""
    return re.split(r"^## ", words.split(f"## {title}", 1)[-1], flags=re.MULTILINE)[0]


def text(words: str) -> str:
    """Markdown in HTML; a link to another lecture leads to its deck."""
    return re.sub(r'href="(\d\d_\w+)\.ipynb"', r'href="\1.html"', markdown.render(words.strip()))


def slide(title: str, content: str, kind: str = "") -> str:
    head = f"<h2>{html.escape(title)}</h2>" if title else ""
    return f'<section class="{kind}">{head}{content}</section>'


def files_of(package: str) -> Path:
    """Where an installed package lies, without importing it."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"slides need {package}; pip install -e '.[site]'")
    return Path(found.origin).parent


def main(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(files_of("sphinx_revealjs") / "_static" / "revealjs" / "dist", folder / "reveal")
    shutil.copytree(files_of("jupyter_server_mathjax") / "static", folder / "mathjax")
    shutil.copy(HERE / "static" / "slides.css", folder)
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        made = deck(json.loads(path.read_text(encoding="utf-8")))
        (folder / f"{path.stem}.html").write_text(made, encoding="utf-8")
        print(f"{path.stem}: {made.count('<section')} slides")
    print(f"open {folder}/00_dataset_bias.html")


if __name__ == "__main__":
    main(ROOT / "slides")
