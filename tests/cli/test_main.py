"""Every wrong call and failed work is one line and an exit status; a closed pipe is neither."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.calls import Refused, changed_scenario, simulating
from twofa_lab.cli.main import main, run
from twofa_lab.risk.policy import Policy
from twofa_lab.traffic.scenario import scenario_names


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["fly"], "fly"),
        (["compare"], "DIR"),
        (["compare", "run", "--wings"], "--wings"),
        (["simulate", "us-consumer"], "--out"),
        (["simulate", "us-consumer", "--out", "x", "--users", "many"], "--users"),
        (["simulate", "us-consumer", "--out", "x", "--users", "0"], "users"),
        (["simulate", "us-consumer", "--out", "x", "--users", "-5"], "users"),
        (["simulate", "us-consumer", "--out", "x", "--days", "0"], "days"),
        (["simulate", "us-consumer", "--out", "x", "--seed", "-1"], "seed"),
        (["simulate", "mars-consumer", "--out", "x"], "mars-consumer"),
        (["simulate", "us-consumer", "--out", "x", "--set", "people.slip_rate"], "key=value"),
        (["simulate", "us-consumer", "--out", "x", "--set", "people.wings=2"], "wings"),
        (["simulate", "us-consumer", "--out", "x", "--set", "wings=2"], "wings"),
        (["simulate", "us-consumer", "--out", "x", "--set", "people.slip_rate=7"], "slip_rate"),
        (["simulate", "us-consumer", "--out", "x", "--set", "people.slip_rate=[1"], "slip_rate"),
        (["simulate", "us-consumer", "--out", "x", "--set", "title.deep=1"], "title"),
        (["simulate", "us-consumer", "--out", "x", "--set", "=1"], "--set"),
        (["explain", "run", "first"], "login_id"),
        (["policy", "lenient"], "lenient"),
        (["demo", "--users", "0"], "users"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_call_gets_one_line_that_names_it(
    refused: Refused,
    arguments: list[str],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    if arguments[0] == "demo":  # says first what it is about to do
        assert run(arguments) == 2
        assert named in capsys.readouterr().err.splitlines()[-1]
    else:
        assert named in refused(*arguments)
    assert [*tmp_path.iterdir()] == []


def test_a_scenario_file_with_an_unknown_key_is_named_with_the_key(
    refused: Refused, tmp_path: Path
):
    path = tmp_path / "mine.yaml"
    path.write_text(changed_scenario(wings=2), encoding="utf-8")
    line = refused(*simulating(tmp_path / "run", path))
    assert f"{path}: wings: unknown key" in line
    assert [*tmp_path.iterdir()] == [path]


def test_a_policy_file_cut_short_is_named(refused: Refused, saved: Path, tmp_path: Path):
    path = tmp_path / "short.yaml"
    text = Policy.risk_based().to_yaml()
    for cut in (text[: text.index("risk-based") - 2], text[: text.index("channels:") + 9], ""):
        path.write_text(cut, encoding="utf-8")
        assert str(path) in refused("compare", saved, "--policy", path), cut
    path.write_text(text + "wings: 2\n", encoding="utf-8")
    assert f"{path}: wings: unknown key" in refused("compare", saved, "--policy", path)


def test_a_policy_named_twice_is_refused(refused: Refused, saved: Path):
    twice = ("--policy", "universal", "--policy", "universal")
    assert "share a name" in refused("compare", saved, *twice)


def test_a_missing_or_incomplete_run_is_named(refused: Refused, damaged: Path, tmp_path: Path):
    assert f"{tmp_path / 'none'}: no such run" in refused("compare", tmp_path / "none")
    (damaged / "logins-00000.parquet").unlink()
    for call in (("compare", damaged), ("explain", damaged, "0"), ("realism", damaged)):
        line = refused(*call)
        assert f"{damaged}: incomplete, logins-00000.parquet is missing" in line
    (damaged / "manifest.json").unlink()
    assert "cut short" in refused("compare", damaged)


def test_an_unknown_login_is_named(refused: Refused, saved: Path):
    assert "no login 987654321" in refused("explain", saved, "987654321")


@pytest.mark.parametrize(
    ("text", "options", "named"),
    [
        ("user_id,time\n1,2025-01-01T00:00:00Z\n", ["--format", "generic"], "password_ok"),
        ("a,b\n1,2\n", ["--format", "rba"], "Login Timestamp"),
        ("", ["--format", "generic"], "empty"),
        ("", ["--format", "rba"], "empty"),
        ("", ["--format", "openssh", "--year", "2024"], "empty"),
        ("x\n", ["--format", "morse"], "morse"),
        ("x\n", ["--format", "generic", "--column", "user_id"], "field=column"),
        ("x\n", ["--format", "generic", "--column", "wings=x"], "wings"),
        ("x\n", ["--format", "generic", "--column", "user_id=y"], "y"),
    ],
)
def test_a_log_that_cannot_be_read_is_named(
    refused: Refused, tmp_path: Path, text: str, options: list[str], named: str
):
    path = tmp_path / "log.csv"
    path.write_text(text, encoding="utf-8")
    assert named in refused("replay", path, *options)


def test_a_missing_log_is_named(refused: Refused, tmp_path: Path):
    line = refused("replay", tmp_path / "none.csv", "--format", "rba")
    assert str(tmp_path / "none.csv") in line


def test_where_nothing_can_be_written_the_work_failed(
    refused: Refused, saved: Path, tmp_path: Path
):
    page = tmp_path / "none" / "page.html"
    assert str(page) in refused("compare", saved, "--html", page, status=1)


# --- the console script


def test_main_returns_the_status_of_a_call():
    assert main(["scenarios"]) == 0
    assert main(["no-such-verb"]) == 2


def script() -> Path:
    return Path(sys.executable).with_name("twofa-lab")


def test_the_console_script_prints_one_object():
    whole = subprocess.run(  # noqa: S603 - our own script
        [script(), "scenarios", "--json"], capture_output=True, text=True, check=False
    )
    assert (whole.returncode, whole.stderr) == (0, "")
    assert set(json.loads(whole.stdout)) == {*scenario_names()}


@pytest.mark.parametrize("unbuffered", ["", "1"])  # the pipe breaks at the end, or at a write
def test_a_closed_pipe_is_quiet(unbuffered: str):
    with subprocess.Popen(  # noqa: S603 - our own script
        [script(), "policy", "risk-based"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        errors = process.stderr.read()
    assert (process.returncode, errors) == (0, b"")
