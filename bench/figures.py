"""One figure, one JSON line on standard output: `{"figure": …, "value": …, "unit": …, "target": …, "cores": …, …}`."""

import os
import statistics
import sys
from collections.abc import Sequence

import msgspec
from msgspec import Struct


class Figure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`value` is the median of the runs."""

    figure: str
    value: float
    unit: str
    target: str = ""
    cores: int
    runs: int
    min: float
    median: float
    max: float
    note: str = ""


def show(name: str, values: Sequence[float], unit: str, *, target: str = "", note: str = "") -> None:
    """Print a figure; `values` are those of its runs."""
    median = _short(statistics.median(values))
    figure = Figure(
        figure=name,
        value=median,
        unit=unit,
        target=target,
        cores=os.cpu_count() or 1,
        runs=len(values),
        min=_short(min(values)),
        median=median,
        max=_short(max(values)),
        note=note,
    )
    sys.stdout.write(msgspec.json.encode(figure).decode() + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """Progress, for whoever watches."""
    sys.stderr.write(f"bench: {text}\n")
    sys.stderr.flush()


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed; 0 when there is none."""
    if not sorted_values:
        return 0.0
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))]


def _short(value: float) -> float:
    """Four digits that matter, no false precision."""
    return float(f"{value:.4g}") if abs(value) < 10_000 else float(round(value))
