"""Calls and files that several test modules of this room make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from twofa_lab.traffic.scenario import Scenario

Told = Callable[..., dict[str, Any]]
Refused = Callable[..., str]


def simulating(folder: Path, scenario: str | Path = "us-consumer", users: int = 80) -> list[str]:
    size = ["--users", str(users), "--days", "20", "--seed", "4", "--workers", "1"]
    return ["simulate", str(scenario), *size, "--out", str(folder)]


def changed_scenario(**changes: object) -> str:
    content = Scenario.load("us-consumer").model_dump(mode="json") | changes
    text: str = yaml.safe_dump(content, sort_keys=False)
    return text
