"""Scorers fitted to a world: what is learnt from, the card, and what cannot be fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import twofa_lab as lab
from twofa_lab.replay.beside import with_beside
from twofa_lab.replay.fit import TRUTH, Observed, fit_scorer, observe
from twofa_lab.replay.run import outcomes, prepare, replay_prepared
from twofa_lab.risk.anomaly import Anomaly
from twofa_lab.risk.freeman import LEVELS
from twofa_lab.risk.freeman_model import Freeman
from twofa_lab.risk.learned import Learned, vectors_as_it_came
from twofa_lab.risk.model_card import area_under_curve
from twofa_lab.risk.model_file import save_scorer
from twofa_lab.risk.policy import Policy
from twofa_lab.risk.rule_scorer import RuleScorer
from twofa_lab.risk.signals import SignalRules
from twofa_lab.traffic.world import World


@pytest.fixture(scope="module")
def seen(world: World) -> Observed:
    return observe(world)


def test_what_is_observed_is_what_the_policy_judged_in_the_window(
    world: World, seen: Observed
) -> None:
    frame = outcomes(world, Policy.risk_based())
    (shard,) = world.shards()
    first, last = world.facts.window
    time = shard.logins["time"]
    judged = frame["decision"].notna().to_numpy() & (time >= first) & (time < last)
    assert np.array_equal(seen.columns["row"], np.flatnonzero(judged))
    assert np.array_equal(seen.columns["login_id"], frame["login_id"][judged])
    assert np.array_equal(seen.columns["score"], frame["score"][judged])
    assert np.array_equal(seen.columns["attack"], shard.logins["attack"][judged])
    assert len(seen) == len(seen.values) > 1_000
    kinds = [mask for name, mask in seen.segments.items() if name.startswith("device")]
    assert (np.sum(kinds, axis=0) == 1).all()


def test_history_is_shaped_by_the_policy_that_ran(world: World, seen: Observed) -> None:
    """Under a policy that asks everybody, who fails leaves no device: it is new once more."""
    asked = observe(world, Policy.universal())
    assert asked.values[:, 0].mean() > seen.values[:, 0].mean()


@pytest.mark.parametrize("scorer", ["rules", "freeman", "learned", "anomaly"])
def test_a_fit_is_repeated_to_the_bit_and_its_card_tells_of_it(
    world: World, seen: Observed, scorer: str
) -> None:
    options = {"max_iter": 30} if scorer == "learned" else {}
    first, again = (
        fit_scorer(world, scorer, seen=seen, seed=3, **options)  # type: ignore[arg-type]
        for _ in range(2)
    )
    assert first.card is not None
    assert first.card == again.card
    card = first.card
    assert (card.scorer, card.seed, card.history) == (scorer, 3, "risk-based")
    assert card.data["fingerprint"] == world.facts.fingerprint
    assert card.period["fitted on"][1] <= card.period["judged on"][0]
    assert card.errors[0].segment == "all"
    assert {"older accounts", "device: mobile"} <= {error.segment for error in card.errors}
    if scorer == "learned":
        assert card.settings["max_iter"] == 30
        assert sum(rows for rows, _ in card.counts.values()) == len(seen)
        assert abs((card.errors[0].predicted or 0) - card.errors[0].observed) < 0.05


def test_freeman_counts_only_what_was_completed_before_the_last_part(
    world: World, seen: Observed
) -> None:
    found = fit_scorer(world, "freeman", seen=seen)
    assert isinstance(found, Freeman)
    (shard,) = world.shards()
    outcome = outcomes(world, Policy.risk_based())["outcome"]
    done = outcome.isin(["allowed", "verified"]).to_numpy()
    cut = found.card.period["judged on"][0] if found.card else 0
    counted = done & (shard.logins["time"] < cut)
    for name in LEVELS:
        counted &= shard.logins[name] != (0 if name in {"ip", "asn"} else -1)
    assert found.counts.numbers[0] == counted.sum()
    assert found.counts.numbers[1] == len(np.unique(shard.logins["user_id"][counted]))


def test_freeman_counts_no_account_that_is_held_out(world: World, seen: Observed) -> None:
    kept = seen.columns["user_id"] % 2 == 0
    found = fit_scorer(world, "freeman", seen=seen, rows=kept)
    whole = fit_scorer(world, "freeman", seen=seen)
    assert isinstance(found, Freeman)
    assert isinstance(whole, Freeman)
    assert 0 < found.counts.numbers[1] < 0.6 * whole.counts.numbers[1]


def test_a_scorer_that_learnt_tells_attacks_from_logins(world: World, seen: Observed) -> None:
    attack = seen.columns["attack"] > 0
    learned = fit_scorer(world, "learned", seen=seen, max_iter=60)
    assert isinstance(learned, Learned)
    found = area_under_curve(learned.probabilities(seen.values), attack)
    assert found is not None
    assert found > (area_under_curve(seen.columns["score"], attack) or 1.0)
    rules = fit_scorer(world, "rules", seen=seen)
    assert isinstance(rules, RuleScorer)
    assert rules.points != Policy.risk_based().points


def test_the_anomaly_scorer_needs_no_labels_and_no_policy_goes_by_it(
    world: World, seen: Observed, tmp_path: Path
) -> None:
    found = fit_scorer(world, "anomaly", seen=seen, n_estimators=50)
    assert isinstance(found, Anomaly)
    auc = area_under_curve(found.scores_of(seen.values), seen.columns["attack"] > 0)
    assert auc is not None
    assert auc > 0.6
    wide = with_beside(world)
    (shard,) = wide.shards()
    scored = found.score(shard.logins, wide.facts.vocabularies)
    right = shard.logins["password_ok"] | shard.logins["signup"]
    assert np.array_equal(np.isfinite(scored.score), right)
    values = vectors_as_it_came(shard.logins, wide.facts.vocabularies)
    assert np.array_equal(scored.score[right], found.scores_of(values[right]))
    rare = np.flatnonzero(scored.score > 0.6)
    assert all(scored.reasons[code] for code in scored.reason[rare])
    assert {scored.reasons[c] for c in scored.reason[np.nan_to_num(scored.score) <= 0.5]} == {""}
    with pytest.raises(lab.InputError, match="no policy goes by this scorer"):
        replay_prepared(
            prepare(shard, wide.facts), wide.facts, Policy.risk_based(), SignalRules(),
            found,  # type: ignore[arg-type]
        )  # fmt: skip
    path = save_scorer(found, tmp_path / "a.skops")
    asks = Policy(name="rare", scorer="learned", model=str(path))
    with pytest.raises(lab.InputError, match="is anomaly, not learned"):
        outcomes(world, asks)


def test_other_labels_weights_and_rows_change_what_is_learnt(world: World, seen: Observed) -> None:
    truth = seen.columns["attack"] > 0
    known = truth & (seen.columns["decision"] > 0)
    rows = np.random.default_rng(0).random(len(seen)) < 0.8
    cards = [
        fit_scorer(world, "rules", seen=seen, attack=known, labels="what was asked").card,
        fit_scorer(world, "rules", seen=seen, rows=rows).card,
    ]
    told = [card.labels for card in cards if card is not None]
    assert told == ["what was asked", TRUTH]
    whole = fit_scorer(world, "rules", seen=seen).points  # type: ignore[union-attr]
    heavy = fit_scorer(world, "rules", seen=seen, weights=1.0 + 9.0 * truth)
    assert heavy.points != whole  # type: ignore[union-attr]


def test_what_cannot_be_fitted_is_said_in_one_line(world: World, seen: Observed) -> None:
    with pytest.raises(lab.InputError, match="unknown scorer 'trees'"):
        lab.fit_scorer(world, "trees")  # type: ignore[arg-type]
    with pytest.raises(lab.InputError, match="rules scorer takes no setting max_iter"):
        fit_scorer(world, "rules", seen=seen, max_iter=3)
    nobody = np.zeros(len(seen), np.bool_)
    for scorer in ("rules", "learned"):
        with pytest.raises(lab.InputError, match="hold 0 attacks"):
            fit_scorer(world, scorer, seen=seen, attack=nobody)
