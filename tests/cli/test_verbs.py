"""The verbs as a person calls them: what they print and what they write."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.cli.calls import Refused, Told, changed_scenario, simulating
from twofa_lab.cli.main import run
from twofa_lab.risk.policy import Policy
from twofa_lab.traffic.scenario import scenario_names
from twofa_lab.traffic.storage import open_run

LOGS = Path(__file__).resolve().parents[2] / "data" / "logs"
SHOP = ("user_id=account", "time=ts", "password_ok=ok", "device_id=device", "attack=label")
POLICIES = ("password-only", "universal", "risk-based")


# --- simulate


def test_simulate_tells_what_it_wrote(told: Told, tmp_path: Path):
    found = told(*simulating(tmp_path / "run"))
    keys = {"path", "scenario", "users", "days", "seed", "logins", "attacks", "seconds"}
    assert keys <= set(found)
    assert (found["scenario"], found["users"], found["days"], found["seed"]) == (
        "us-consumer", 80, 20, 4,
    )  # fmt: skip
    assert found["path"] == str(tmp_path / "run")
    assert found["logins"] > found["attacks"] > 0
    assert (tmp_path / "run" / "manifest.json").is_file()


def test_a_setting_changes_the_world_and_the_seed_repeats_it(told: Told, tmp_path: Path):
    plain, again = (told(*simulating(tmp_path / name)) for name in ("plain", "again"))
    other = told(*simulating(tmp_path / "other"), "--set", "people.slip_rate=0.5")
    assert plain["fingerprint"] == again["fingerprint"] != other["fingerprint"]
    assert other["logins"] > plain["logins"]  # a wrong password is an attempt more
    none = told(*simulating(tmp_path / "none"), "--set", "attacks={}")
    assert none["attacks"] == 0


def test_a_scenario_may_be_a_file(told: Told, tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text(changed_scenario(name="mine"), encoding="utf-8")
    assert told(*simulating(tmp_path / "run", path))["scenario"] == "mine"


def test_an_existing_run_is_replaced_only_on_demand(told: Told, refused: Refused, damaged: Path):
    before = (damaged / "manifest.json").read_bytes()
    line = refused(*simulating(damaged, users=20))
    assert str(damaged) in line
    assert "exists already" in line
    assert (damaged / "manifest.json").read_bytes() == before
    assert told(*simulating(damaged, users=20), "--overwrite")["users"] == 20
    assert (damaged / "manifest.json").read_bytes() != before


def test_what_is_no_run_is_never_replaced(refused: Refused, tmp_path: Path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("dear", encoding="utf-8")
    assert "not a run" in refused(*simulating(tmp_path / "letters"), "--overwrite")
    assert (tmp_path / "letters" / "dear.txt").read_text(encoding="utf-8") == "dear"


# --- compare


def test_compare_tells_each_policy_and_each_pair(told: Told, saved: Path):
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
    told: Told, saved: Path, tmp_path: Path
):
    strict = Policy.universal().model_copy(update={"name": "mine"})
    path = strict.save(tmp_path / "mine.yaml")
    mine, universal = told("compare", saved, "--policy", path, "--policy", "universal")["policies"]
    assert mine.pop("name") == "mine"
    assert universal.pop("name") == "universal"
    assert mine == universal


def test_compare_writes_page_and_figures(told: Told, saved: Path, tmp_path: Path):
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
    told: Told, name: str, options: list[str], users: int | None
):
    found = told("replay", LOGS / name, *options, "--policy", "risk-based")
    keys = {"format", "rows_read", "rows_rejected", "users", "logins", "challenge_rate"}
    assert keys <= set(found)
    assert found["format"] == options[1]
    assert set(found["decisions"]) == {"allow", "challenge", "deny"}
    assert sum(found["decisions"].values()) + found["throttled"] <= found["logins"]
    assert 0 < found["challenge_rate"] < 1
    assert users is None or found["users"] == users


def test_replay_may_lend_people(told: Told):
    call = ("replay", LOGS / "rba.csv", "--format", "rba")
    assert "everybody is taken to pass" in told(*call)["note"]
    assert "simulated" in told(*call, "--people", "us-consumer")["note"]


# --- explain and the small verbs


def login_of(saved: Path) -> int:
    frame = open_run(saved).logins()
    return int(frame.loc[frame["password_ok"] & ~frame["signup"], "login_id"].iloc[0])


def test_explain_gives_reasons(told: Told, saved: Path):
    login = login_of(saved)
    found = told("explain", saved, str(login), "--policy", "universal")
    assert {"login_id", "signals", "score", "decision", "reasons"} <= set(found)
    assert (found["login_id"], found["decision"]) == (login, "challenge")
    assert told("explain", saved, str(login), "--policy", "password-only")["decision"] == "allow"


def test_scenarios_and_policies_are_listed(told: Told):
    assert set(told("scenarios")) == {*scenario_names()}
    assert Policy.model_validate(told("policy", "risk-based")) == Policy.risk_based()


def test_a_printed_policy_is_a_policy_file(
    capsys: pytest.CaptureFixture[str], told: Told, tmp_path: Path
):
    assert run(["policy", "universal"]) == 0
    path = tmp_path / "printed.yaml"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    assert Policy.model_validate(told("policy", path)) == Policy.universal()


def test_realism_prints_one_object(told: Told, saved: Path):
    assert told("realism", saved)


def test_demo_writes_a_page(told: Told, tmp_path: Path):
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
