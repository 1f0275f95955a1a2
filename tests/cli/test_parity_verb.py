"""The verb `parity`: what it prints and keeps, and what it says where flow and replay differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.calls import Refused, Told
from twofa_lab.cli.main import run
from twofa_lab.flow import finish


def test_a_run_is_played_and_equal(told: Told, saved: Path) -> None:
    found = told("parity", saved, "--policy", "universal", "--logins", 200)
    assert (found["compared"], found["mismatches"], found["first_mismatch"]) == (200, 0, None)
    assert found["policy"] == "universal"
    for counts in found["seen"].values():
        assert sum(counts.values()) == 200


def test_what_was_played_can_be_audited(told: Told, saved: Path, tmp_path: Path) -> None:
    database = tmp_path / "played.db"
    told("parity", saved, "--logins", 50, "--database", database)
    audited = told("audit", "verify", database)
    assert audited["ok"]
    assert audited["rows"] > 100


def test_a_file_that_is_there_is_not_played_into(
    refused: Refused, saved: Path, tmp_path: Path
) -> None:
    database = tmp_path / "played.db"
    database.write_text("precious")
    assert "name a new file" in refused("parity", saved, "--logins", 5, "--database", database)
    assert database.read_text() == "precious"


def test_a_difference_is_status_1_and_named(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = finish.record_of
    monkeypatch.setattr(
        "twofa_lab.flow.answer.record_of",
        lambda *given, **more: before(*given, **{**more, "messages": 9}),
    )
    assert run(["parity", str(saved), "--policy", "universal", "--logins", "50"]) == 1
    printed = capsys.readouterr()
    assert "flow and replay differ in" in printed.err
    assert printed.err.count("\n") == 1
    assert "'messages': (9, 1)" in printed.out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(["--policy", "none-such"], "no policy 'none-such'"), (["--logins", "0"], "--logins")],
)
def test_a_wrong_call_is_refused(
    refused: Refused, saved: Path, arguments: list[str], expected: str
) -> None:
    assert expected in refused("parity", saved, *arguments)


def test_a_run_that_is_none_is_refused(refused: Refused, tmp_path: Path) -> None:
    assert str(tmp_path / "nothing") in refused("parity", tmp_path / "nothing")
