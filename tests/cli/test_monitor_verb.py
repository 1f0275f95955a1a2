"""The verb `monitor`: a run or an audit in, one JSON object and two files out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.calls import Refused, Told
from twofa_lab.cli.main import run


def test_a_run_is_watched(told: Told, saved: Path, tmp_path: Path) -> None:
    files = [tmp_path / "twofa.prom", tmp_path / "board.json"]
    found = told(
        "monitor", saved, "--policy", "universal", "--prometheus", files[0], "--dashboard", files[1]
    )
    assert found["source"] == "us-consumer under universal"
    assert (found["days"], found["limits"], found["alarms"]) == (19, False, [])
    assert found["totals"]["challenge_rate"] == 1.0
    assert sum(day["attempts"] for day in found["daily"]) == found["totals"]["attempts"] > 0
    assert {"country", "channel", "factor"} == set(found["by"])
    assert found["written"] == [str(file) for file in files]
    assert "twofa_challenges_total" in files[0].read_text()
    assert json.loads(files[1].read_text())["panels"]


def test_an_audit_is_watched(told: Told, saved: Path, tmp_path: Path) -> None:
    database, audit = tmp_path / "played.db", tmp_path / "audit.parquet"
    told("parity", saved, "--policy", "universal", "--logins", 60, "--database", database)
    told("audit", "export", database, "--out", audit)
    found = told("monitor", audit, "--zone", "America/New_York")
    assert found["source"] == "audit.parquet"
    assert found["totals"]["challenged"] > 0
    assert set(found["by"]["provider"]) == {"simulated"}


def test_for_people_it_prints_tables(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["monitor", str(saved)]) == 0
    printed = capsys.readouterr().out
    for text in ("challenges passed", "By channel", "too few to learn"):
        assert text in printed


def test_what_is_neither_is_refused(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no")
    assert "not an exported audit" in refused("monitor", tmp_path / "text")
    assert "no such run" in refused("monitor", tmp_path / "none")
    assert "--zone" not in refused("monitor", tmp_path / "text", "--zone", "nowhere")
