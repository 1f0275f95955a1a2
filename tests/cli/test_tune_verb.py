"""The verbs `tune` and `policy diff` as a person calls them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.calls import Refused, Told
from twofa_lab.cli.main import run
from twofa_lab.risk.policy import Policy


def tuning(saved: Path, out: Path, rate: str = "0.5", *more: str) -> list[str | Path]:
    return ["tune", saved, "--scorer", "rules", "--max-challenge-rate", rate, "--out", out, *more]


def test_tune_writes_a_policy_that_does_what_it_says(told: Told, saved: Path, tmp_path: Path):
    path = tmp_path / "tuned.yaml"
    found = told(*tuning(saved, path, "0.5", "--date", "2026-01-02"))
    keys = {"scorer", "threshold", "challenge_rate", "challenge_rate_ci", "takeovers_stopped_share",
            "policy"}  # fmt: skip
    assert keys <= set(found)
    assert (found["scorer"], found["policy"]) == ("rules", str(path))
    assert Policy.load(path).challenge_at == found["threshold"]
    assert path.read_text(encoding="utf-8").startswith("# tuned on: 2026-01-02")
    played = told("compare", saved, "--policy", path)["policies"][0]
    assert played["challenge_rate"] == pytest.approx(found["challenge_rate"])
    if played["takeover_rate"] is not None:
        assert 1.0 - played["takeover_rate"] == pytest.approx(found["takeovers_stopped_share"])


def test_a_budget_that_nothing_keeps_fails_and_writes_nothing(
    refused: Refused, saved: Path, tmp_path: Path
):
    line = refused(*tuning(saved, tmp_path / "no.yaml", "0.0001"), status=1)
    assert "no threshold satisfies this" in line
    refused("tune", saved, "--scorer", "freeman", "--max-challenge-rate", "0.0001", "--out",
            tmp_path / "no.yaml", status=1)  # fmt: skip
    assert not list(tmp_path.iterdir())  # the fitted scorer neither


@pytest.mark.parametrize("name", ["nowhere/tuned.yaml", "tuned.skops", "."])
def test_where_nothing_can_be_written_is_refused_before_any_work(
    refused: Refused, saved: Path, tmp_path: Path, name: str
):
    call = ["tune", saved, "--scorer", "freeman", "--max-challenge-rate", "0.9"]
    assert "--out" in refused(*call, "--out", tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_the_cheapest_by_prices_of_ones_own(told: Told, saved: Path, tmp_path: Path):
    path = tmp_path / "cheap.yaml"
    found = told("tune", saved, "--cheapest", "--price", "takeover=0", "--out", path)
    assert found["threshold"] is None
    assert Policy.load(path).challenge_at is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--scorer", "magic", "--max-challenge-rate", "0.1"], "magic"),
        ([], "--max-challenge-rate, --cheapest or both"),
        (["--max-challenge-rate", "5"], "max_challenge_rate"),
        (["--price", "takeover"], "takeover"),
        (["--price", "sandwich=3"], "sandwich"),
        (["--max-challenge-rate", "0.1", "--model", "m.skops"], "--model is for a fitted scorer"),
        (["--max-challenge-rate", "0.1", "--scorer", "rules", "--policy", "universal"], "--policy"),
        (["--max-challenge-rate", "0.1", "--scorer", "freeman", "--model", "m.skops"], "m.skops"),
        (["--max-challenge-rate", "0.1", "--policy", "nonsense"], "nonsense"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(
    refused: Refused, saved: Path, tmp_path: Path, arguments: list[str], said: str
):
    assert said in refused("tune", saved, "--out", tmp_path / "x.yaml", *arguments)
    assert not list(tmp_path.iterdir())


def test_policy_diff_tells_what_changes(told: Told, saved: Path):
    found = told("policy", "diff", "risk-based", "universal", "--on", saved)
    assert (found["old"], found["new"]) == ("risk-based", "universal")
    assert {change["after"] for change in found["changes"]} == {"challenge"}
    assert found["settings"]["trust_device_days"] == [30.0, None]
    assert found["examples"]
    assert found["segments"]


def test_policy_still_prints_a_policy(told: Told, refused: Refused, capsys):
    for call in (["policy", "universal"], ["policy", "show", "universal"]):
        assert Policy.model_validate(told(*call)) == Policy.universal()
    assert run(["policy", "--json", "universal"]) == 0
    assert "lenient" in refused("policy", "lenient")
    capsys.readouterr()
    assert run(["policy", "--help"]) == 0
    assert "diff" in capsys.readouterr().out


def test_a_scorer_fitted_here_is_tuned_on_accounts_it_was_not_fitted_on(
    told: Told, saved: Path, tmp_path: Path
):
    path = tmp_path / "freeman.yaml"
    call = ["tune", saved, "--scorer", "freeman", "--max-challenge-rate", "0.9", "--out", path]
    assert "none of these" in told(*call)["note"]
    told("fit", saved, "--scorer", "freeman", "--out", tmp_path / "whole.skops")
    again = told(*call, "--model", tmp_path / "whole.skops")
    assert "these very ones" in again["note"]
    assert "these very ones: that flatters it" in path.read_text(encoding="utf-8")
    half = told(*call)
    assert "none of these" in half["note"]
    on_all = told(*call, "--model", tmp_path / "freeman.skops")
    assert "which are among these: that flatters it" in on_all["note"]
