"""Every scenario's headline figures, against the frozen ones."""

from __future__ import annotations

import math
from typing import Any

import pytest

import twofa_lab as lab
from tests.baseline.headline import frozen, headline


def moved(path: str, now: Any, then: Any) -> list[str]:
    """Figures that differ: counts at all, others by more than rounding in the last places."""
    if isinstance(now, dict):
        assert isinstance(then, dict), path
        return [
            line
            for key in now.keys() | then.keys()
            for line in moved(f"{path}.{key}", now.get(key), then.get(key))
        ]
    if isinstance(now, list):
        assert isinstance(then, list), path
        return [
            line
            for i, (a, b) in enumerate(zip(now, then, strict=True))
            for line in moved(f"{path}[{i}]", a, b)
        ]
    if isinstance(now, float) and math.isnan(now):
        now = None
    same = now == then
    if isinstance(now, float) and isinstance(then, float | int):
        same = math.isclose(now, then, rel_tol=1e-9)
    return [] if same else [f"{path}: {then} became {now}"]


@pytest.mark.parametrize("scenario", lab.scenario_names())
def test_no_headline_figure_moved(scenario: str) -> None:
    changed = moved(scenario, headline(scenario), frozen()[scenario])
    assert not changed, "run `make baseline` if this is meant, and say why in CHANGELOG.md: " + (
        "; ".join(sorted(changed))
    )


def test_a_moved_figure_is_noticed() -> None:
    then = {"a": 1, "b": [0.5, None]}
    assert moved("x", {"a": 1, "b": [0.5, float("nan")]}, then) == []
    changed = sorted(moved("x", {"a": 2, "b": [0.5, 0.1]}, then))
    assert changed == ["x.a: 1 became 2", "x.b[1]: None became 0.1"]
