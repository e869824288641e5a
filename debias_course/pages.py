"""Pages that need nothing else, and tables for a spreadsheet: how reports are written."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

STYLE = """body{font:16px/1.5 sans-serif;max-width:78rem;margin:2rem auto;padding:0 1rem}table{border-collapse:collapse}
div{overflow-x:auto}img{max-width:100%}td,th{padding:.3rem .8rem;border-bottom:1px solid #ccc;text-align:left}
td:not(:last-child){white-space:nowrap}h2{margin-top:2.5rem}"""


def page(title: str, sections: Mapping[str, str]) -> str:
    """A whole page: sections of HTML by their headings."""
    body = "".join(f"<h2>{heading}</h2>{content}" for heading, content in sections.items())
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    return f"{head}<h1>{title}</h1>{body}</html>\n"


def csv(frame: pd.DataFrame) -> bytes:
    """The table as CSV, in which no text is a formula for a spreadsheet."""
    return frame.map(_no_formula).to_csv(index=False).encode()


def _no_formula(cell: Any) -> Any:
    if not isinstance(cell, str):
        return cell
    cell = cell.replace("\r", "\n")  # the writer of CSV quotes this one only
    if cell.startswith(("=", "+", "-", "@", "\t", "\n")) and not re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?", cell):
        return f"'{cell}"
    return cell


def table(frame: pd.DataFrame) -> str:
    """A table that scrolls where it is too wide."""
    return f"<div>{frame.to_html(index=False, border=0, na_rep='')}</div>"


def lines(text: str) -> str:
    """Plain text, with its line breaks."""
    return html.escape(text).replace("\n", "<br>")


def image(png: bytes, alt: str) -> str:
    """A picture inside the page, and in words for who cannot see it."""
    return f'<img src="data:image/png;base64,{base64.b64encode(png).decode()}" alt="{html.escape(alt)}">'


def facts(named: Mapping[str, Any]) -> str:
    """A list of names and values."""
    rows = (html.escape(f"{name}: {value}") for name, value in named.items())
    return f"<ul>{''.join(f'<li>{row}</li>' for row in rows)}</ul>"


def as_json(content: Mapping[str, Any]) -> bytes:
    """For a program, and readable."""
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()
