"""Tuning against comparisons of the same policies, and the choice against its definition."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from twofa_lab.analysis import sensitivity
from twofa_lab.analysis.comparison import compare
from twofa_lab.analysis.curve import curve
from twofa_lab.analysis.sensitivity import _range
from twofa_lab.analysis.thresholds import Tuning, tune
from twofa_lab.analysis.thresholds_sweep import at_threshold, operating_grid
from twofa_lab.errors import InputError, WorkError
from twofa_lab.replay.run import outcomes
from twofa_lab.risk.policy import Policy
from twofa_lab.traffic.world import World

RISK = Policy.risk_based()


@pytest.fixture(scope="module")
def found(world: World) -> Tuning:
    return tune(world, max_challenge_rate=0.2, replicates=60, progress=False)


def test_every_point_is_what_a_comparison_says(world: World, found: Tuning):
    chosen = [p for p in found.points if p.threshold in (None, 0.0, 0.5, 1.0)]
    assert len(chosen) == 4
    study = compare(world, [at_threshold(RISK, p.threshold) for p in chosen], replicates=60,
                    progress=False)  # fmt: skip
    for point, result in zip(chosen, study.results, strict=True):
        assert point.result.challenge_rate == result.challenge_rate
        assert point.result.takeovers == result.takeovers
        assert point.result.cost == result.cost
        assert point.stopped.value == pytest.approx(1.0 - result.takeover_rate.value)


def test_the_open_loop_is_a_count_of_logged_scores(world: World, found: Tuning):
    frame = world.logins(None).merge(
        outcomes(world, at_threshold(RISK, None), limit=None), on="login_id"
    )
    start = world.facts.window[0]
    in_time = frame["time"].dt.as_unit("ms").astype("int64") >= start
    rows = frame[in_time & frame["password_ok"] & ~frame["signup"]]
    judged = rows["decision"].notna()
    for point in found.points:
        if point.threshold is None:
            assert (point.open_rate, point.open_caught) == (0.0, 0.0)
            continue
        hit = judged & (rows["score"] >= point.threshold)
        own = rows["attack"] == "none"
        assert point.open_rate == pytest.approx(hit[own].mean())
        assert point.open_caught == pytest.approx(hit[~own].mean())


def test_the_grid_holds_every_score_met_and_never(found: Tuning):
    assert [p.threshold for p in found.points] == [None, *found.curve.threshold.tolist()]
    many = curve(np.linspace(0, 1, 5_000), np.arange(5_000) % 7 == 0)
    grid = operating_grid(many, 40, 0.9)
    assert 20 < len(grid) <= 40
    assert grid == sorted(set(grid), reverse=True)
    assert max(grid) <= 0.9
    assert set(grid) <= set(many.threshold.tolist())
    assert float(many.at(grid[0])[0]) < 0.11  # nearly the least that 0.9 allows
    assert float(many.at(grid[-1])[0]) == 1.0


def test_the_choice_under_a_budget_lets_fewest_through_of_those_that_keep_it(found: Tuning):
    allowed = [
        p for p in found.points
        if p.threshold is not None and p.passed and p.result.challenge_rate.value <= 0.2
    ]  # fmt: skip
    assert allowed
    assert len(allowed) < len(found.points) - 1
    least = min(p.result.takeovers for p in allowed)
    assert found.point.result.takeovers == least
    assert found.point.threshold == max(
        p.threshold or 0.0 for p in allowed if p.result.takeovers == least
    )
    assert all(p.pvalue <= 0.05 for p in allowed)


def test_with_a_cost_the_cheapest_of_them(world: World):
    both = tune(world, max_challenge_rate=0.2, cost={}, replicates=20, progress=False)
    free = tune(world, cost={"takeover": 0.0}, replicates=20, progress=False)
    choices = both.operating()
    totals = [p.result.cost.total.value for p in both.points]
    assert choices["cost"] == int(np.argmin(totals))
    assert both.chosen == choices["both"] == min(both.allowed(), key=lambda i: totals[i])
    assert free.point.threshold is None  # nothing to lose: never ask
    assert free.sentence().startswith("Never ask: it asks 0.00 %")
    assert free.facts.costs.takeover == 0.0
    assert world.facts.costs.takeover > 0.0


def test_what_no_threshold_satisfies_says_so(world: World):
    found = tune(world, max_challenge_rate=0.0001, replicates=20, progress=False)
    assert found.chosen is None
    assert "no threshold satisfies this" in found.sentence()
    assert "no threshold satisfies this" in str(found.choices())
    with pytest.raises(WorkError, match="no threshold satisfies this"):
        found.save("never.yaml", day=date(2026, 1, 2))
    assert isinstance(repr(found), str)
    found.plot().savefig(io.BytesIO())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "max_challenge_rate, cost or both"),
        ({"max_challenge_rate": 0.0}, "max_challenge_rate"),
        ({"max_challenge_rate": 5}, "max_challenge_rate"),
        ({"cost": {"takeovers": 3.0}}, "takeovers"),
        ({"cost": {"takeover": -3.0}}, "takeover"),
        ({"max_challenge_rate": 0.1, "thresholds": [1.5]}, "thresholds"),
        ({"max_challenge_rate": 0.1, "confidence": 1.0}, "confidence"),
    ],
)
def test_what_makes_no_sense_is_refused(world: World, arguments: dict, said: str):
    with pytest.raises(InputError, match=said):
        tune(world, progress=False, **arguments)


def test_the_file_is_the_policy_with_its_provenance(found: Tuning, tmp_path):
    path = found.save(tmp_path / "tuned.yaml", day=date(2026, 1, 2))
    assert Policy.load(path) == found.best
    text = path.read_text(encoding="utf-8")
    for said in ("2026-01-02", found.facts.fingerprint, "at most 20 %", "seed 3", "numpy",
                 "sms $", "scores as logged promised"):  # fmt: skip
        assert said in text, said
    assert found.best.challenge_at == found.point.threshold


def test_the_same_whatever_the_workers(world: World, found: Tuning):
    again = tune(world, max_challenge_rate=0.2, replicates=60, workers=1, progress=False)
    for one, other in zip(found.points, again.points, strict=True):
        assert one.result.challenge_rate == other.result.challenge_rate
        assert one.pvalue == pytest.approx(other.pvalue)


def test_a_price_range_ends_where_another_choice_costs_the_same():
    parts, others = np.array([4.0, 1.0, 0.0]), np.array([1.0, 5.0, 9.0])
    low, high = _range(parts, others, 0)
    assert (low, high) == (0.0, pytest.approx(4 / 3))  # 1 + 4 f = 5 + f
    low, high = _range(parts, others, 1)
    assert (low, high) == (pytest.approx(4 / 3), pytest.approx(4.0))  # 5 + f = 9


def test_sensitivity_repeats_the_choice_for_prices_changed_for_real(world: World):
    found = tune(world, cost={}, replicates=20, progress=False)
    sheet = found.sensitivity()
    for row, name in zip(sheet.rows[2:], ("lost_login", "takeover"), strict=True):
        for cell, factor in zip(row[2:4], (0.5, 1.5), strict=True):
            price = getattr(world.facts.costs, name) * factor
            again = tune(world, cost={name: price}, replicates=20, progress=False)
            assert f"{again.point.threshold or 'never':.5}" == f"{cell:.5}" or cell == str(
                again.point.threshold
            )


def test_assumptions_are_replayed_on_the_same_logins(found: Tuning):
    rows = {row[0]: row for row in found.assumptions(progress=False).rows}
    stopped = {name: float(row[4].split()[0]) for name, row in rows.items() if row[4]}
    lost = {name: float(row[5].split()[0]) for name, row in rows.items() if row[5]}
    assert stopped["attackers get past no factor"] > stopped["as it is"]
    assert stopped["attackers get past every factor"] < stopped["as it is"]
    assert lost["1 in 10 more has no phone at hand"] > lost["as it is"]
    assert lost["people wait half as long"] > lost["as it is"]


@pytest.mark.parametrize("name", sensitivity._CHANGES)
def test_an_assumption_is_changed_as_far_as_columns_are_asked_for(world: World, name: str):
    """A scorer also reads columns by themselves, which have no potential outcomes."""
    few = _Only(world.source, ("time", "ip"))
    assert set(sensitivity._Changed(few, name).load(0, ("time", "ip")).logins) == {
        "time", "ip", "login_id",
    }  # fmt: skip
    whole = sensitivity._Changed(world.source, name).load(0, None).logins
    before = world.source.load(0, None).logins
    changed = {key for key in before if not np.array_equal(before[key], whole[key])}
    assert changed
    assert all(key.startswith("po_") for key in changed)


class _Only:
    """Shards with no more than the columns asked for, as they come from disk."""

    def __init__(self, source, columns):
        self.source, self.columns = source, {*columns, "login_id"}

    def load(self, index, columns):
        shard = self.source.load(index, columns)
        return replace(shard, logins={k: v for k, v in shard.logins.items() if k in self.columns})


def test_small_thresholds_are_told_apart_in_figures(world: World):
    found = tune(world, RISK, 0.9, thresholds=[0.00005, 0.0004, 0.6], replicates=8, progress=False)
    axes = found.plot_cost().axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        "never", "0.6", "0.0004", "5e-05",
    ]  # fmt: skip


def test_figures_and_tables_show_themselves(found: Tuning):
    for figure in (found.plot(), found.plot_cost(), found.burden(progress=False).plot()):
        assert figure._repr_png_()[1:4] == b"PNG"
    assert "challenge at" in found._repr_html_().lower()
    content = found.to_dict()
    assert content["challenge_rate_ci"][0] <= content["challenge_rate"]
    assert content["challenge_rate"] <= content["challenge_rate_ci"][1]


def test_a_world_without_attacks_can_be_tuned_for_its_budget(world: World):
    quiet = replace(world.facts, costs=world.facts.costs)
    source = _WithoutAttacks(world.source)
    found = tune(replace(world, facts=quiet, source=source), max_challenge_rate=0.2,
                 replicates=20, progress=False)  # fmt: skip
    assert found.to_dict()["takeovers_stopped_share"] is None
    assert "n/a" in str(found)
    found.plot().savefig(io.BytesIO())


class _WithoutAttacks:
    """Shards in which attackers' rows count as people's."""

    def __init__(self, source):
        self.source = source

    def __len__(self):
        return len(self.source)

    def load(self, index, columns):
        shard = self.source.load(index, columns)
        return replace(shard, logins=shard.logins | {"attack": np.zeros(shard.rows, np.uint8)})
