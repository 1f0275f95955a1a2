"""A small run, and calls of the command line that must succeed or be refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.calls import Refused, Told, simulating
from twofa_lab.cli.main import run


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run, written by the command line."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert run([*simulating(folder), "--set", "people.slip_rate=0.2"]) == 0
    return folder


@pytest.fixture
def damaged(saved: Path, tmp_path: Path) -> Path:
    """A run of one's own to damage."""
    return Path(shutil.copytree(saved, tmp_path / "run"))


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    """Calls a verb with --json: its one JSON object, everything else being an error."""

    def call(*arguments: str | Path) -> dict[str, Any]:
        capsys.readouterr()
        assert run([*map(str, arguments), "--json"]) == 0
        printed = capsys.readouterr().out
        assert printed.count("\n") == 1
        found = json.loads(printed, parse_constant=pytest.fail)
        assert isinstance(found, dict)
        return found

    return call


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Calls a verb that must fail with a status; its one line on standard error."""

    def call(*arguments: str | Path, status: int = 2) -> str:
        capsys.readouterr()
        assert run([*map(str, arguments)]) == status
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("twofa-lab: ")
        assert printed.err.count("\n") == 1
        assert "Traceback" not in printed.err
        return printed.err.strip()

    return call
