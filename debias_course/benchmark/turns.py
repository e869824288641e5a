"""How two costs are compared: in turns, in one run, as a ratio."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch


def clock(device: str) -> Callable[[], float]:
    """Seconds: of the CPU where it computes, otherwise of the wall, when the device has done all that it was given."""
    if device == "cpu":
        return time.process_time
    backend = getattr(torch, torch.device(device).type)

    def now() -> float:
        backend.synchronize()
        return time.perf_counter()

    return now


def take_turns(
    contenders: Mapping[str, Callable[[], object]], repeats: int, *, device: str = "cpu"
) -> list[dict[str, float]]:
    """Seconds of each contender in each repeat, after one round to warm up: in turn, forwards and backwards."""
    now = clock(device)
    for contender in contenders.values():
        contender()
    turns = []
    for _ in range(repeats):
        turns.append(dict.fromkeys(contenders, 0.0))
        for each in [*contenders, *reversed([*contenders])]:
            began = now()
            contenders[each]()
            turns[-1][each] += now() - began
    return turns


def repeated(contender: Callable[[], object], times: int) -> Callable[[], None]:
    """The contender several times, for one that is over sooner than the clock can tell."""

    def run() -> None:
        for _ in range(times):
            contender()

    return run


def row(name: str, ratios: list[float], target: float | None, side: str = "at most") -> dict:
    """Median and extremes of the ratios of the repeats, beside what is asked of the median."""
    extremes = {"low": round(min(ratios), 3), "high": round(max(ratios), 3)}
    return {"name": name, "ratio": round(statistics.median(ratios), 3), **extremes, "target": target, "side": side}
