"""How a claim is shown in a notebook."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .verdicts import Claim

MARKS = {"confirmed": "✔", "only where": "◐", "refuted": "✘", "open": "?"}
COLORS = {"confirmed": "#009E73", "only where": "#0072B2", "refuted": "#D55E00", "open": "#6b6b6b"}


def answer(found: Claim) -> str:
    """The verdict as HTML. Only its mark is coloured: no colour can be read as text on white and on black."""
    mark = f'<span style="color:{COLORS[found.verdict]}">{MARKS[found.verdict]}</span>'
    return f"<strong>{mark} {html.escape(found.answer)}</strong>"


def claim(found: Claim) -> str:
    """A claim as HTML: verdict, statement, number and expectation; the fine print and the code behind it fold out."""
    color, whole = COLORS[found.verdict], found.whole or found
    brief = [f"{found.id} · {found.measured}"] + [f"we expected: {found.expected}"] * bool(found.expected)
    fine = [found.numbers]
    if len(whole.cells) > 1:
        fine.append(f"in {len(whole.cells)} circumstances: {whole.kept or 'measured now'}")
    if found.central:
        fine.append(f"a fresh block of seeds gives this verdict with probability {whole.replication:.2f}")
    code = f"<pre>{html.escape(found.how)}</pre>" if found.how else ""
    return (
        f'<div style="border-left:4px solid {color};padding:4px 12px;margin:4px 0">'
        f"{answer(found)} <strong>{html.escape(found.sentence)}</strong><br>"
        f"<small>{_lines(brief)}</small>"
        "<details><summary><small>how it is measured</small></summary>"
        f"<small>{_lines(fine)}</small>{code}</details></div>"
    )


def _lines(texts: list[str]) -> str:
    return "<br>".join(map(html.escape, texts))
