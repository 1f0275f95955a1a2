"""The comparison: paired, the same on any executor, and the same figures in every rendering."""

from __future__ import annotations

import csv
import json
import math
import re
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from twofa_lab.analysis.comparison import Comparison, compare
from twofa_lab.analysis.estimates import Cost, Estimate
from twofa_lab.errors import InputError
from twofa_lab.risk.policy import Policy
from twofa_lab.sheet import interval, money, percent
from twofa_lab.traffic.readers.log_world import read_logs
from twofa_lab.traffic.scenario import Scenario
from twofa_lab.traffic.simulate import simulate
from twofa_lab.traffic.storage import RunWriter, open_run, write_shard
from twofa_lab.traffic.world import World

RBA = Path(__file__).resolve().parents[2] / "data" / "logs" / "rba.csv"
HOSTILE = 'a|b <script>alert("x")</script> & co'


def named(policy: Policy, name: str) -> Policy:
    return policy.model_copy(update={"name": name})


def hostile() -> Policy:
    return named(Policy.universal(), HOSTILE)


# --- the same on any machine


def test_one_worker_equals_four_equals_processes(world: World, study: Comparison):
    text = json.dumps(study.to_dict())
    for workers in (1, 4):
        assert json.dumps(compare(world, workers=workers, progress=False).to_dict()) == text
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        elsewhere = compare(world, executor=pool, progress=False)
    assert json.dumps(elsewhere.to_dict()) == text
    for one, other in zip(study.results, elsewhere.results, strict=True):
        np.testing.assert_array_equal(one.totals.replicates, other.totals.replicates)


def test_memory_equals_parquet(world: World, study: Comparison, tmp_path: Path):
    with RunWriter(tmp_path / "run") as writer:
        for shard in world.shards():
            write_shard(writer.folder, shard, world.facts.vocabularies)
        writer.finish(world.facts, len(world.source))
    saved = compare(open_run(tmp_path / "run"), progress=False)
    assert saved.to_dict() == study.to_dict()


# --- what must be so


def test_a_policy_under_two_names_differs_by_exactly_nothing(world: World):
    risk = Policy.risk_based()
    twins = compare(world, [risk, named(risk, "twin")], progress=False)
    (pair,) = twins.differences
    nothing = Estimate(0.0, 0.0, 0.0)
    assert (pair.a, pair.b) == ("twin", "risk-based")
    assert (pair.conversion, pair.takeovers, pair.cost) == (nothing, nothing, nothing)
    assert "cannot be told apart" in twins.sentence()


def test_password_only_asks_nobody_and_loses_nobody_it_does_not_throttle(study: Comparison):
    result = study["password-only"]
    assert result.challenge_rate == Estimate(0.0, 0.0, 0.0)
    assert result.cost.messages.value == 0.0
    assert all(math.isnan(seconds) for seconds in result.friction)
    assert result.asked_and_completed == 0
    assert set(result.lost) <= {"rate_limited", "locked"}
    assert all(row[2] == 0 for row in result.by_kind.values())


def test_universal_asks_all_it_does_not_throttle(study: Comparison):
    result = study["universal"]
    throttled = result.lost.get("rate_limited", 0) + result.lost.get("locked", 0)
    assert throttled > 0
    asked = round(result.challenge_rate.value * result.legitimate)
    assert asked == result.legitimate - throttled
    assert result.not_asked == 0


def test_every_legitimate_login_has_one_ending(study: Comparison):
    for result in study.results:
        endings = result.not_asked + result.asked_and_completed + sum(result.lost.values())
        assert endings == result.legitimate
        completed = result.not_asked + result.asked_and_completed
        assert result.conversion.value == completed / result.legitimate


def test_kinds_of_attack_add_up(study: Comparison):
    for result in study.results:
        rows = np.array([*result.by_kind.values()])
        assert rows[:, 1].sum() == result.attacks
        assert rows[:, 3].sum() == result.takeovers
        assert result.takeover_rate.value == result.takeovers / result.attacks
        assert rows[:, 0].sum() == study.facts.attacks


def test_cost_is_made_of_its_parts_and_of_the_counts(world: World, study: Comparison):
    costs = world.facts.costs
    for result in study.results:
        cost, lost = result.cost, sum(result.lost.values())
        messages = result.totals.sums[3] / 1e6
        usd = {
            "messages": messages,
            "support": lost * costs.tickets_per_lost_login * costs.support_ticket,
            "lost_logins": lost * costs.lost_login,
            "takeovers": result.accounts_taken_over * costs.takeover,
        }
        for name, value in usd.items():
            per_1000 = 1000 * value / result.legitimate
            assert getattr(cost, name).value == pytest.approx(per_1000, rel=1e-12), name
        assert cost.total.value == pytest.approx(1000 * sum(usd.values()) / result.legitimate)
        assert cost.losses == cost.lost_logins.value + cost.takeovers.value
        assert cost.total.low <= cost.total.value <= cost.total.high


def test_an_account_taken_over_twice_is_lost_once(world: World, study: Comparison):
    result = study["password-only"]
    assert result.takeovers > result.accounts_taken_over > 0
    per_1000 = 1000 * result.accounts_taken_over * world.facts.costs.takeover / result.legitimate
    assert result.cost.takeovers.value == pytest.approx(per_1000)


def test_differences_are_those_of_the_figures_and_narrower_than_unpaired(study: Comparison):
    assert [(d.a, d.b) for d in study.differences] == [
        ("universal", "password-only"),
        ("risk-based", "password-only"),
        ("risk-based", "universal"),
    ]
    for d in study.differences:
        a, b = study[d.a], study[d.b]
        assert d.conversion.value == a.conversion.value - b.conversion.value
        assert d.takeovers.value == a.takeovers - b.takeovers
        assert d.cost.value == a.cost.total.value - b.cost.total.value
        for one in (d.conversion, d.takeovers, d.cost):
            assert one.low <= one.value <= one.high


def test_an_interval_is_of_the_replicates_of_the_difference(study: Comparison):
    pair = study.differences[2]
    rates = [
        study[name].totals.replicates[2] / study[name].totals.replicates[0]
        for name in (pair.a, pair.b)
    ]
    low, high = np.percentile(rates[0] - rates[1], [2.5, 97.5])
    assert (pair.conversion.low, pair.conversion.high) == (low, high)


# --- refusals


def test_policies_that_share_a_name_are_refused(world: World):
    with pytest.raises(InputError, match="share a name: universal, universal; rename one"):
        compare(world, [Policy.universal(), Policy.universal()], progress=False)


def test_an_unknown_policy_is_named_with_those_there_are(study: Comparison):
    with pytest.raises(InputError, match="no policy 'none' here: password-only, universal, risk"):
        study["none"]


def test_a_log_without_people_is_refused_with_the_mend():
    with pytest.raises(InputError, match=r"call with_people\(scenario, seed\)"):
        compare(read_logs(RBA, "rba"), progress=False)


def test_a_world_in_which_nobody_logs_in_is_refused():
    empty = simulate("us-consumer", users=1, days=1, seed=1, progress=False)
    assert empty.facts.logins == 0
    with pytest.raises(InputError, match="nothing to compare: take more users or days"):
        compare(empty, progress=False)


def test_lent_people_are_said_to_be_simulated():
    lent = compare(read_logs(RBA, "rba").with_people("us-consumer", 5), progress=False)
    said = "the people behind them, and all they do at a challenge, are simulated"
    assert said in lent.note
    assert "us-consumer, seed 5" in lent.note
    assert said in lent.to_html()
    assert said in lent.to_markdown()
    assert lent.to_dict()["note"] == lent.note
    assert lent.to_dict()["world"]["human_side"] == "lent"


# --- renderings


def strict(content: object) -> str:
    return json.dumps(content, allow_nan=False)


def test_renderings_agree_on_the_figures(study: Comparison, tmp_path: Path):
    content = json.loads(strict(study.to_dict()))
    frame = study.to_pandas()
    with study.to_csv(tmp_path / "figures.csv").open(newline="", encoding="utf-8") as file:
        lines = {line["name"]: line for line in csv.DictReader(file)}
    table, markdown, page = study.table().to_pandas(), study.to_markdown(), study.to_html()
    for result, told in zip(study.results, content["policies"], strict=True):
        name = result.name
        assert told["name"] == name
        assert told["conversion"] == result.conversion.value == frame.loc[name, "conversion"]
        assert float(lines[name]["conversion"]) == result.conversion.value
        assert told["conversion_ci"] == [result.conversion.low, result.conversion.high]
        assert float(lines[name]["conversion_low"]) == result.conversion.low
        assert told["cost_per_1000_usd"] == float(lines[name]["cost_per_1000_usd"])
        assert sum(told["cost_parts_per_1000_usd"].values()) == pytest.approx(
            told["cost_per_1000_usd"]
        )
        assert int(lines[name]["takeovers"]) == told["takeovers"] == result.takeovers
        cells = {
            "challenged": percent(result.challenge_rate.value),
            "conversion": percent(result.conversion.value),
            "95 % interval": interval(
                percent(result.conversion.low), percent(result.conversion.high)
            ),
            "total": money(result.cost.total.value),
            "takeovers": f"{result.takeovers:,} of {result.attacks:,}",
        }
        for column, text in cells.items():
            assert table.loc[name, column] == text
            assert text in markdown
            assert f">{text}</td>" in page
    for pair, told in zip(study.differences, content["paired"], strict=True):
        assert (told["a"], told["b"]) == (pair.a, pair.b)
        assert told["conversion_difference"] == pair.conversion.value
        assert told["ci"] == [pair.conversion.low, pair.conversion.high]
        assert told["takeovers_difference"] == pair.takeovers.value
        assert told["cost_difference"] == pair.cost.value
        assert percent(pair.conversion.value) in markdown
        assert f">{percent(pair.conversion.value)}</td>" in page


def test_a_hostile_name_is_only_ever_text(world: World, tmp_path: Path):
    study = compare(world, [Policy.risk_based(), hostile()], progress=False)
    for markup in (study.to_html(), study._repr_html_()):
        assert "<script" not in markup
        assert "&lt;script&gt;" in markup
    assert "<script" not in study.to_markdown()
    for line in study.to_markdown().splitlines():
        if line.startswith("|") and "script" in line:
            assert r"a\|b" in line
            assert "a|b" not in line
    path = study.to_csv(tmp_path / "figures.csv")
    with path.open(newline="", encoding="utf-8") as file:
        assert [line["name"] for line in csv.DictReader(file)] == ["risk-based", HOSTILE]
    assert json.loads(strict(study.to_dict()))["policies"][1]["name"] == HOSTILE


def test_a_name_with_dollars_is_no_formula(world: World):
    odd = named(Policy.universal(), r"from $\frac$ to $5")
    study = compare(world, [Policy.risk_based(), odd], progress=False)
    assert study.to_html().count(odd.name) > 2  # also drawn, as text: matplotlib notes it


def test_markdown_tables_have_as_many_cells_in_every_row(world: World):
    text = compare(world, [Policy.universal(), hostile()], progress=False).to_markdown()
    for block in re.findall(r"(?:^\|.*\n?)+", text, flags=re.MULTILINE):
        cells = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(cells) == 1, block


def test_to_html_writes_the_page_it_returns(study: Comparison, tmp_path: Path):
    page = study.to_html(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page


# --- nobody attacks


@pytest.fixture(scope="module")
def peaceful() -> Comparison:
    scenario = Scenario.load("us-consumer").changed(attacks={})
    return compare(simulate(scenario, users=80, days=20, seed=2, progress=False), progress=False)


def test_without_attacks_the_takeover_rate_is_not_defined(peaceful: Comparison):
    assert peaceful.facts.attacks == 0
    for result in peaceful.results:
        assert result.attacks == result.takeovers == result.accounts_taken_over == 0
        assert all(map(math.isnan, vars(result.takeover_rate).values()))
        assert result.by_kind == {}
        assert result.cost.takeovers == Estimate(0.0, 0.0, 0.0)
    assert set(peaceful.table().to_pandas()["takeover rate"]) == {"n/a"}
    for told in json.loads(strict(peaceful.to_dict()))["policies"]:
        assert told["takeover_rate"] is None
    assert "nobody" in peaceful.sentence()
    assert "nan" not in str(peaceful).lower()
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", peaceful.to_html(), flags=re.DOTALL).lower()


def test_a_policy_that_costs_nothing_still_has_its_figures():
    scenario = Scenario.load("us-consumer").changed(attacks={}, people__slip_rate=0.0)
    calm = simulate(scenario, users=40, days=10, seed=2, progress=False)
    free = compare(calm, [Policy.password_only()], progress=False)
    assert free["password-only"].cost.total == Estimate(0.0, 0.0, 0.0)
    assert "<svg" in free.to_html()
    assert strict(free.to_dict())


# --- the sentence


def costing(study: Comparison, low: float, high: float) -> Comparison:
    """The study with the interval of the cost between the two cheapest replaced."""
    cheapest = sorted(study.results, key=lambda r: r.cost.total.value)[:2]
    names = {r.name for r in cheapest}
    return replace(
        study,
        differences=tuple(
            replace(d, cost=Estimate(d.cost.value, low, high)) if {d.a, d.b} == names else d
            for d in study.differences
        ),
    )


def test_the_sentence_is_made_from_the_figures(study: Comparison):
    sentence = study.sentence()
    best, *others = sorted(study.results, key=lambda r: r.cost.total.value)
    assert sentence.lower().startswith(f"{best.name} costs least here: ")
    assert money(best.cost.total.value) in sentence.partition(";")[0]
    assert percent(best.challenge_rate.value, 1) in sentence
    assert f"loses {percent(1 - best.conversion.value)}" in sentence
    for other in others:
        told = f"{other.name} costs {money(other.cost.total.value)}, loses "
        assert told + percent(1 - other.conversion.value) in sentence
        assert f"lets {percent(other.takeover_rate.value, 0)} in" in sentence
    assert sentence.endswith(".")


def test_the_sentence_follows_the_figures(study: Comparison):
    dear = study.results[0]
    cheap = replace(
        dear, cost=Cost(*(Estimate(float(n), float(n), float(n)) for n in (1, 0, 0, 0, 1)))
    )
    assert dear.name != min(study.results, key=lambda r: r.cost.total.value).name
    changed = replace(study, results=(cheap, *study.results[1:]))
    assert changed.sentence().startswith("Password-only costs least here: $1.00 ")


def test_the_sentence_says_when_costs_cannot_be_told_apart(study: Comparison):
    first, second = sorted(study.results, key=lambda r: r.cost.total.value)[:2]
    doubt = f"(the costs of {first.name} and {second.name} cannot be told apart)"
    assert doubt in costing(study, -1.0, 2.0).sentence()
    assert "told apart" not in costing(study, 1.0, 2.0).sentence()
    assert "told apart" not in costing(study, -2.0, -1.0).sentence()


def test_a_single_policy_is_compared_with_none(world: World):
    alone = compare(world, [Policy.universal()], progress=False)
    assert alone.differences == ()
    assert alone.paired().rows == ()
    assert "told apart" not in alone.sentence()
    assert strict(alone.to_dict())
