"""The verbs as a person calls them: what they print, what they write, how they refuse."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twofa_lab.cli.main import main, run
from twofa_lab.risk.policy import Policy
from twofa_lab.traffic.scenario import scenario_names

LOGS = Path(__file__).resolve().parents[2] / "data" / "logs"
SHOP = ("user_id=account", "time=ts", "password_ok=ok", "device_id=device", "attack=label")
POLICIES = ("password-only", "universal", "risk-based")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run, written by the command line."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert run([*simulating(folder), "--set", "people.slip_rate=0.2"]) == 0
    return folder


def simulating(folder: Path, scenario: str | Path = "us-consumer", users: int = 80) -> list[str]:
    size = ["--users", str(users), "--days", "20", "--seed", "4", "--workers", "1"]
    return ["simulate", str(scenario), *size, "--out", str(folder)]


@pytest.fixture
def damaged(saved: Path, tmp_path: Path) -> Path:
    """A run of one's own to damage."""
    return Path(shutil.copytree(saved, tmp_path / "run"))


Call = Callable[..., dict[str, Any]]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Call:
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
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
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


# --- simulate


def test_simulate_tells_what_it_wrote(told: Call, tmp_path: Path):
    found = told(*simulating(tmp_path / "run"))
    keys = {"path", "scenario", "users", "days", "seed", "logins", "attacks", "seconds"}
    assert keys <= set(found)
    assert (found["scenario"], found["users"], found["days"], found["seed"]) == (
        "us-consumer", 80, 20, 4,
    )  # fmt: skip
    assert found["path"] == str(tmp_path / "run")
    assert found["logins"] > found["attacks"] > 0
    assert (tmp_path / "run" / "manifest.json").is_file()


def test_a_setting_changes_the_world_and_the_seed_repeats_it(told: Call, tmp_path: Path):
    plain, again = (told(*simulating(tmp_path / name)) for name in ("plain", "again"))
    other = told(*simulating(tmp_path / "other"), "--set", "people.slip_rate=0.5")
    assert plain["fingerprint"] == again["fingerprint"] != other["fingerprint"]
    assert other["logins"] > plain["logins"]  # a wrong password is an attempt more
    none = told(*simulating(tmp_path / "none"), "--set", "attacks={}")
    assert none["attacks"] == 0


def test_a_scenario_may_be_a_file(told: Call, tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text(changed_scenario(name="mine"), encoding="utf-8")
    assert told(*simulating(tmp_path / "run", path))["scenario"] == "mine"


def changed_scenario(**changes: object) -> str:
    import yaml

    from twofa_lab.traffic.scenario import Scenario

    content = Scenario.load("us-consumer").model_dump(mode="json") | changes
    text: str = yaml.safe_dump(content, sort_keys=False)
    return text


def test_an_existing_run_is_replaced_only_on_demand(
    told: Call, refused: Callable[..., str], damaged: Path
):
    before = (damaged / "manifest.json").read_bytes()
    line = refused(*simulating(damaged, users=20))
    assert str(damaged) in line
    assert "exists already" in line
    assert (damaged / "manifest.json").read_bytes() == before
    assert told(*simulating(damaged, users=20), "--overwrite")["users"] == 20
    assert (damaged / "manifest.json").read_bytes() != before


def test_what_is_no_run_is_never_replaced(refused: Callable[..., str], tmp_path: Path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("dear", encoding="utf-8")
    assert "not a run" in refused(*simulating(tmp_path / "letters"), "--overwrite")
    assert (tmp_path / "letters" / "dear.txt").read_text(encoding="utf-8") == "dear"


# --- compare


def test_compare_tells_each_policy_and_each_pair(told: Call, saved: Path):
    found = told("compare", saved)
    keys = {
        "name", "logins", "legitimate", "challenge_rate", "conversion", "conversion_ci",
        "friction_seconds_median", "cost_per_1000_usd", "takeovers", "attacks", "takeover_rate",
    }  # fmt: skip
    assert [policy["name"] for policy in found["policies"]] == [*POLICIES]
    assert all(keys <= set(policy) for policy in found["policies"])
    assert len(found["paired"]) == 3
    pair_keys = {"a", "b", "conversion_difference", "ci", "takeovers_difference"}
    assert all(pair_keys <= set(pair) for pair in found["paired"])


def test_compare_takes_a_policy_file_beside_the_built_in_ones(
    told: Call, saved: Path, tmp_path: Path
):
    strict = Policy.universal().model_copy(update={"name": "mine"})
    path = strict.save(tmp_path / "mine.yaml")
    mine, universal = told("compare", saved, "--policy", path, "--policy", "universal")["policies"]
    assert mine.pop("name") == "mine"
    assert universal.pop("name") == "universal"
    assert mine == universal


def test_compare_writes_page_and_figures(told: Call, saved: Path, tmp_path: Path):
    page, figures = tmp_path / "page.html", tmp_path / "figures.csv"
    found = told("compare", saved, "--html", page, "--csv", figures)
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    with figures.open(newline="", encoding="utf-8") as file:
        lines = [*csv.DictReader(file)]
    assert [line["name"] for line in lines] == [*POLICIES]
    for line, policy in zip(lines, found["policies"], strict=True):
        assert float(line["conversion"]) == policy["conversion"]


def test_compare_for_people_shows_tables_and_the_decision(
    capsys: pytest.CaptureFixture[str], saved: Path, tmp_path: Path
):
    page = tmp_path / "page.html"
    assert run(["compare", str(saved), "--html", str(page)]) == 0
    printed = capsys.readouterr()
    for part in ("Paired differences", "costs least here", f"written: {page}", *POLICIES):
        assert part in printed.out
    assert page.is_file()
    assert printed.out.count("<!doctype") == 0


# --- replay


@pytest.mark.parametrize(
    ("name", "options", "users"),
    [
        ("rba.csv", ["--format", "rba"], 31),
        ("auth.log", ["--format", "openssh", "--year", "2024"], None),
        ("shop.csv", ["--format", "generic", *(a for c in SHOP for a in ("--column", c))], 20),
    ],
)
def test_replay_tells_what_was_read_and_decided(
    told: Call, name: str, options: list[str], users: int | None
):
    found = told("replay", LOGS / name, *options, "--policy", "risk-based")
    keys = {"format", "rows_read", "rows_rejected", "users", "logins", "challenge_rate"}
    assert keys <= set(found)
    assert found["format"] == options[1]
    assert set(found["decisions"]) == {"allow", "challenge", "deny"}
    assert sum(found["decisions"].values()) + found["throttled"] <= found["logins"]
    assert 0 < found["challenge_rate"] < 1
    assert users is None or found["users"] == users


def test_replay_may_lend_people(told: Call):
    call = ("replay", LOGS / "rba.csv", "--format", "rba")
    assert "everybody is taken to pass" in told(*call)["note"]
    assert "simulated" in told(*call, "--people", "us-consumer")["note"]


# --- explain and the small verbs


def login_of(saved: Path) -> int:
    from twofa_lab.traffic.storage import open_run

    frame = open_run(saved).logins()
    return int(frame.loc[frame["password_ok"] & ~frame["signup"], "login_id"].iloc[0])


def test_explain_gives_reasons(told: Call, saved: Path):
    login = login_of(saved)
    found = told("explain", saved, str(login), "--policy", "universal")
    assert {"login_id", "signals", "score", "decision", "reasons"} <= set(found)
    assert (found["login_id"], found["decision"]) == (login, "challenge")
    assert told("explain", saved, str(login), "--policy", "password-only")["decision"] == "allow"


def test_scenarios_and_policies_are_listed(told: Call):
    assert set(told("scenarios")) == {*scenario_names()}
    assert Policy.model_validate(told("policy", "risk-based")) == Policy.risk_based()


def test_a_printed_policy_is_a_policy_file(
    capsys: pytest.CaptureFixture[str], told: Call, tmp_path: Path
):
    assert run(["policy", "universal"]) == 0
    path = tmp_path / "printed.yaml"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    assert Policy.model_validate(told("policy", path)) == Policy.universal()


def test_realism_prints_one_object(told: Call, saved: Path):
    assert told("realism", saved)


def test_demo_writes_a_page(told: Call, tmp_path: Path):
    page = tmp_path / "deep" / "er" / "page.html"
    found = told("demo", "--users", "60", "--days", "10", "--out", page)
    assert found["path"] == str(page)
    assert set(found["seconds"]) == {"generate", "compare"}
    assert [policy["name"] for policy in found["policies"]] == [*POLICIES]
    assert page.read_text(encoding="utf-8").rstrip().endswith("</html>")


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]):
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    for verb in ("simulate", "compare", "replay", "explain", "realism", "scenarios", "demo"):
        assert verb in text


def test_main_returns_the_status_of_a_call():
    assert main(["scenarios"]) == 0
    assert main(["no-such-verb"]) == 2


# --- calls that are wrong


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
    refused: Callable[..., str],
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
    refused: Callable[..., str], tmp_path: Path
):
    path = tmp_path / "mine.yaml"
    path.write_text(changed_scenario(wings=2), encoding="utf-8")
    line = refused(*simulating(tmp_path / "run", path))
    assert f"{path}: wings: unknown key" in line
    assert [*tmp_path.iterdir()] == [path]


def test_a_policy_file_cut_short_is_named(refused: Callable[..., str], saved: Path, tmp_path: Path):
    path = tmp_path / "short.yaml"
    text = Policy.risk_based().to_yaml()
    for cut in (text[: text.index("risk-based") - 2], text[: text.index("channels:") + 9], ""):
        path.write_text(cut, encoding="utf-8")
        assert str(path) in refused("compare", saved, "--policy", path), cut
    path.write_text(text + "wings: 2\n", encoding="utf-8")
    assert f"{path}: wings: unknown key" in refused("compare", saved, "--policy", path)


def test_a_policy_named_twice_is_refused(refused: Callable[..., str], saved: Path):
    twice = ("--policy", "universal", "--policy", "universal")
    assert "share a name" in refused("compare", saved, *twice)


def test_a_missing_or_incomplete_run_is_named(
    refused: Callable[..., str], damaged: Path, tmp_path: Path
):
    assert f"{tmp_path / 'none'}: no such run" in refused("compare", tmp_path / "none")
    (damaged / "logins-00000.parquet").unlink()
    for call in (("compare", damaged), ("explain", damaged, "0"), ("realism", damaged)):
        line = refused(*call)
        assert f"{damaged}: incomplete, logins-00000.parquet is missing" in line
    (damaged / "manifest.json").unlink()
    assert "cut short" in refused("compare", damaged)


def test_an_unknown_login_is_named(refused: Callable[..., str], saved: Path):
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
    refused: Callable[..., str], tmp_path: Path, text: str, options: list[str], named: str
):
    path = tmp_path / "log.csv"
    path.write_text(text, encoding="utf-8")
    assert named in refused("replay", path, *options)


def test_a_missing_log_is_named(refused: Callable[..., str], tmp_path: Path):
    line = refused("replay", tmp_path / "none.csv", "--format", "rba")
    assert str(tmp_path / "none.csv") in line


def test_where_nothing_can_be_written_the_work_failed(
    refused: Callable[..., str], saved: Path, tmp_path: Path
):
    page = tmp_path / "none" / "page.html"
    assert str(page) in refused("compare", saved, "--html", page, status=1)


# --- the console script


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
