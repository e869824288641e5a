"""A panel without a kernel: its pictures over a grid of settings, computed beforehand and kept in the cache folder.

    grid = Grid(draw_shortcut, LossReweighting(), dict(aligned_share=Knob(0.95, low=0.5, high=0.99)))
    grid.stops      name -> the values of a knob that moves; the others stay where the panel has them at first
    grid.shots()    what the panel shows at each setting, by the numbers of the stops

Knobs that do nothing at a setting make no picture of their own.
"""

from __future__ import annotations

import base64
import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..cache import cache_folder, keep
from ..figures import canvas
from ..fingerprints import fingerprint
from ..keys import numerics
from ..methods import Knob, Method
from ..study import in_workers
from ..training import pick_device
from . import panels

PICTURES = 27  # of a panel whose stops nobody has chosen, at most


@dataclass(frozen=True)
class Picture:
    """What is drawn at a setting, and kept: a PNG `width` pixels of a page wide, and its sentence; or why there is
    none."""

    image: bytes = b""
    width: int = 0
    sentence: str = ""
    refused: str = ""


@dataclass(frozen=True)
class Shot:
    """What a panel shows at a setting. `idle` are the knobs that do nothing there, with the reason; those with an empty
    one are not shown."""

    picture: Picture
    setting: str
    alt: str
    idle: Mapping[str, str]


@dataclass(frozen=True)
class Grid:
    """The settings of a panel for which there are pictures; takes what `panels.panel` takes."""

    draw: Callable[..., tuple[Any, str]]
    method: Method
    extra: Mapping[str, Knob]

    @cached_property
    def knobs(self) -> dict[str, Knob]:
        """By name, at the panel's first setting."""
        return panels.declared(self.draw, self.method, self.extra)

    @cached_property
    def first(self) -> dict[str, Any]:
        """The panel's first setting."""
        return {name: each.default for name, each in self.knobs.items()}

    @cached_property
    def stops(self) -> dict[str, tuple[Any, ...]]:
        """The values of the knobs that move, in the order of the panel."""
        chosen = chosen_for(self.draw)
        hidden = [name for name, reason in self.idle(self.first).items() if not reason]
        shown = {name: each for name, each in self.knobs.items() if name not in hidden}
        if not any(name in shown for name in chosen):
            return few(shown)
        return {name: with_first(each, chosen[name]) for name, each in shown.items() if name in chosen}

    @property
    def middle(self) -> tuple[int, ...]:
        """The numbers of the stops at the panel's first setting."""
        return tuple(values.index(self.first[name]) for name, values in self.stops.items())

    def settings(self) -> dict[tuple[int, ...], dict[str, Any]]:
        """Every setting, by the numbers of its stops."""
        numbers = itertools.product(*(range(len(values)) for values in self.stops.values()))
        return {at: self.first | {n: self.stops[n][i] for n, i in zip(self.stops, at)} for at in numbers}

    def idle(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Which knobs do nothing at a setting, and why; none where the method refuses it."""
        try:
            method, extra = self.apart(values)
        except ValueError:
            return {}
        told = getattr(self.draw, "idle", None)
        return {n: why for n, why in told(method, **extra).items() if n in self.knobs} if told else {}

    def apart(self, values: Mapping[str, Any]) -> tuple[Method, dict[str, Any]]:
        """Method and extra knobs of a setting."""
        fields = {name: value for name, value in values.items() if name not in self.extra}
        return replace(self.method, **fields), {name: values[name] for name in self.extra}

    def shots(self) -> dict[tuple[int, ...], Shot]:
        """What the panel shows at every setting: drawn on all cores, where it is not kept."""
        import joblib

        settings = self.settings()
        idle = {at: self.idle(values) for at, values in settings.items()}
        drawn = {at: values | {name: self.first[name] for name in idle[at]} for at, values in settings.items()}
        keys = {at: self._key(values) for at, values in drawn.items()}
        found = {key: read(key) for key in keys.values()}
        missing = {key: drawn[at] for at, key in keys.items() if found[key] is None}
        calls = [joblib.delayed(_draw)(self, key, values) for key, values in missing.items()]
        found |= zip(missing, in_workers(calls, what="pictures") if calls else ())
        about, shots = panels.about(self.draw), {}
        for at, values in settings.items():
            active = {name: value for name, value in values.items() if name not in idle[at]}
            setting, picture = panels.in_words(self.knobs, active), found[keys[at]]
            assert picture is not None
            shots[at] = Shot(picture, setting, f"{about} {setting}", idle[at])
        return shots

    def picture(self, values: Mapping[str, Any]) -> Picture:
        """Drawn now."""
        try:
            method, extra = self.apart(values)
            figure, sentence = self.draw(method, **extra)
        except (ValueError, FloatingPointError) as error:
            return Picture(refused=str(error))
        image = canvas._fewer_colors(panels.png(figure))
        return Picture(image, round(figure.get_figwidth() * panels.PIXELS), sentence)

    def _key(self, values: Mapping[str, Any]) -> str:
        how = sorted(values.items()), list(self.extra), numerics(str(pick_device()))
        return fingerprint(Grid.picture, self.draw, self.method, how)


def chosen_for(draw: Callable[..., Any]) -> Mapping[str, Sequence[Any]]:
    """The stops that a lecture asks for beside its drawing."""
    return getattr(draw, "stops", {})


def with_first(knob: Knob, values: Sequence[Any]) -> tuple[Any, ...]:
    """`values`, or all choices, with the knob's own."""
    if knob.choices:
        return tuple(each for each in knob.choices if not values or each in (*values, knob.default))
    return tuple(sorted({*values, knob.default}))


def few(knobs: Mapping[str, Knob], pictures: int = PICTURES) -> dict[str, tuple[Any, ...]]:
    """Stops for knobs of which nobody has chosen any: the last knobs of a panel move first, as they are the lecture's,
    each over its choices or over both ends and its first value, as long as there are at most so many `pictures`."""
    found: dict[str, tuple[Any, ...]] = {}
    for name, each in reversed(list(knobs.items())):
        values = with_first(each, () if each.choices else (each.low, each.high))
        if len(values) * math.prod(map(len, found.values())) <= pictures:
            found[name] = values
    return {name: found[name] for name in knobs if name in found}


def _draw(grid: Grid, key: str, values: Mapping[str, Any]) -> Picture:
    """Drawn and kept at once: an interrupted build continues where it stopped."""
    drawn = grid.picture(values)
    text = asdict(drawn) | dict(image=base64.b64encode(drawn.image).decode())
    keep(kept_at(key), json.dumps(text).encode())
    return drawn


def kept_at(key: str) -> Path:
    """Where the picture of a setting is kept."""
    return cache_folder() / "panels" / f"{key}.json"


def read(key: str) -> Picture | None:
    """The kept picture of a setting; None where there is none, or a damaged one."""
    try:
        text = json.loads(kept_at(key).read_bytes())
        return Picture(**text | dict(image=base64.b64decode(text["image"])))
    except (OSError, ValueError, TypeError, KeyError):
        return None
