"""`twofa-lab score`: what it prints, writes and refuses."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.cli.calls import Refused, Told
from twofa_lab.cli.main import run

LOGS = Path(__file__).resolve().parents[2] / "data" / "logs"
RBA = ("score", LOGS / "rba.csv", "--format", "rba")


@pytest.mark.parametrize("scorer", ["rules", "freeman"])
def test_score_tells_its_counts_and_writes_a_line_a_scored_row(
    scorer: str, told: Told, tmp_path: Path
) -> None:
    out = tmp_path / "scores.csv"
    found = told(*RBA, "--scorer", scorer, "--out", out)
    assert found["path"] == str(out)
    assert found["rows_read"] == sum(
        found[name] for name in ("rows_scored", "rows_unscored", "rows_rejected")
    )
    with out.open(encoding="utf-8", newline="") as file:
        lines = list(csv.reader(file))
    assert lines[0] == ["row_index", "login_id", "user_id", "score", "reasons"]
    assert len(lines) - 1 == found["rows_scored"] > 0


def test_score_takes_columns_of_another_log(told: Told, tmp_path: Path) -> None:
    columns = [f"--column={pair}" for pair in ("user_id=account", "time=ts", "password_ok=ok")]
    log = (LOGS / "shop.csv", "--format", "generic", *columns)
    found = told("score", *log, "--out", tmp_path / "s.csv")
    assert found["scorer"] == "rules"
    assert found["rows_rejected"] == 2


def test_score_says_in_words_what_it_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "s.csv")
    assert run([*map(str, RBA), "--scorer", "freeman", "--attack-term", "--out", out]) == 0
    printed = capsys.readouterr().out
    assert "rows scored" in printed
    assert f"written: {out}" in printed


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--scorer", "astrology"], "unknown scorer 'astrology': use one of rules, freeman"),
        (["--attack-term"], "the attack term is freeman's"),
        (["--year", "2026"], "a year is for the openssh format"),
    ],
)
def test_wrong_calls_are_refused_and_write_nothing(
    arguments: list[str], told: str, refused: Refused, tmp_path: Path
) -> None:
    assert told in refused(*RBA, "--out", tmp_path / "s.csv", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_where_not_to_write_is_told_before_anything_is_read(refused: Refused, tmp_path: Path):
    log = ("score", tmp_path / "missing.csv", "--format", "rba")
    assert "no directory that exists" in refused(*log, "--out", tmp_path / "none" / "s.csv")
    assert "missing.csv" in refused(*log, "--out", tmp_path / "s.csv")
    assert "is the log itself" in refused(*RBA, "--out", LOGS / "rba.csv")


def test_a_log_that_cannot_feed_the_scorer_is_refused(refused: Refused, tmp_path: Path):
    log = ("score", LOGS / "auth.log", "--format", "openssh")
    line = refused(*log, "--scorer", "freeman", "--out", tmp_path / "s.csv")
    assert "use the rules scorer" in line
    assert list(tmp_path.iterdir()) == []
