"""Guess first: a question with buttons before its answer, and the table that puts guess and answer side by side."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets

from . import shown
from .verdicts import Claim


class Guess(widgets.VBox):
    """A question and its possible answers. Without a kernel, and in the stored notebook, it is a list to choose from.

    made  the answer that was clicked, or None
    """

    def __init__(self, question: str, answers: Sequence[str]):
        if not 2 <= len(answers) <= 4:
            raise ValueError(f"{question!r} has {len(answers)} answers; give two to four")
        self.question, self.possible = question, tuple(answers)
        self.made: str | None = None
        buttons = [widgets.Button(description=each, tooltip=each, layout={"width": "auto"}) for each in answers]
        for button in buttons:
            button.on_click(self._click)
        self.buttons = widgets.HBox(buttons, layout={"flex_flow": "row wrap"})
        text = f"<strong>Your guess:</strong> {html.escape(question)}"
        super().__init__([widgets.HTML(text), self.buttons])

    def _click(self, button: widgets.Button) -> None:
        self.made = button.description
        for each in self.buttons.children:
            each.button_style = "info" if each is button else ""
            each.icon = "check" if each is button else ""

    def __repr__(self) -> str:
        return f"Your guess: {self.question} {' / '.join(self.possible)}"

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        answers = "".join(f"<li>{html.escape(each)}</li>" for each in self.possible)
        bundle = dict(super()._repr_mimebundle_(**kwargs) or {})
        text = f"<p><strong>Your guess:</strong> {html.escape(self.question)}</p><ul>{answers}</ul>"
        return bundle | {"text/plain": repr(self), "text/html": text}


@dataclass(frozen=True, repr=False)
class Answers:
    """The central claims of a lecture with what was guessed."""

    rows: Sequence[tuple[Claim, Guess | None]]

    def __repr__(self) -> str:
        return "\n".join(f"{found.id} {found.answer}: {found.sentence}" for found, _ in self.rows)

    def _repr_html_(self) -> str:
        lines = []
        for found, guess in self.rows:
            guessed = "not asked"
            if guess:
                guessed = f"{html.escape(guess.made or 'no guess')}<br><small>{html.escape(guess.question)}</small>"
            cells = (
                f"{found.id}",
                html.escape(found.sentence),
                guessed,
                f"{shown.answer(found)}<br><small>{found.effect}</small>",
            )
            lines.append("".join(f'<td style="text-align:left">{each}</td>' for each in cells))
        head = "".join(
            f'<th style="text-align:left">{each}</th>'
            for each in ("", "the lecture says", "you guessed", "we measured")
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(f'<tr>{x}</tr>' for x in lines)}</tbody></table>"
