"""Late and selective labels: what is known when, whom the hold-out asks, and what is taught."""

from __future__ import annotations

import numpy as np
import pytest

from twofa_lab.analysis.selective_labels import (
    Labelling,
    SelectiveLabels,
    _ways,
    known,
    selective_labels,
    with_hold_out,
)
from twofa_lab.errors import InputError
from twofa_lab.replay.fit import Observed
from twofa_lab.risk.policy import Policy
from twofa_lab.tables import DECISIONS, OUTCOME_NAMES, Array
from twofa_lab.traffic.scenario import Scenario
from twofa_lab.traffic.simulate import simulate
from twofa_lab.traffic.world import World

NARROW = Policy(name="narrow", challenge_at=0.6, trust_device_days=None)
BY = Labelling(hold_out=0.4)
CHALLENGE = DECISIONS.index("challenge")


@pytest.fixture(scope="module")
def other(attacked: Scenario) -> World:
    return simulate(attacked, users=500, days=60, seed=4, progress=False)


@pytest.fixture(scope="module")
def hold_out(other: World) -> tuple[Observed, Observed, Array]:
    return with_hold_out(other, NARROW, BY.hold_out)


@pytest.fixture(scope="module")
def found(other: World, world: World) -> SelectiveLabels:
    return selective_labels(other, world, 0.1, BY, policy=NARROW, replicates=40, progress=False)


def outcome_is(seen: Observed, *names: str) -> Array:
    return np.isin(seen.columns["outcome"], [OUTCOME_NAMES.index(name) for name in names])


def test_labels_are_of_what_was_challenged_or_reported_alone(
    hold_out: tuple[Observed, Observed, Array], other: World
) -> None:
    seen, _, _ = hold_out
    end = other.facts.window[1]
    labelled, attack, reported = known(seen, end, BY)
    truth = seen.columns["attack"] > 0
    challenged = seen.columns["decision"] == CHALLENGE
    assert np.array_equal(labelled, challenged | reported)
    assert not (attack & ~truth).any()  # what is looked into gets the right label
    assert not (reported & ~truth).any()
    assert outcome_is(seen, "allowed", "verified")[reported].all()
    passed = challenged & truth & outcome_is(seen, "verified") & ~reported
    assert passed.any()
    assert not attack[passed].any()  # an attacker who passed is taken for the owner
    assert (truth & ~labelled).any()


def test_takeovers_are_known_late_and_by_account(
    hold_out: tuple[Observed, Observed, Array], other: World
) -> None:
    seen, _, _ = hold_out
    start, end = other.facts.window
    counts = [known(seen, at, BY)[2].sum() for at in (start, (start + end) / 2, end, np.inf)]
    assert counts[0] == 0
    assert sorted(counts) == counts
    assert counts[1] < counts[2] < counts[3]
    done = (seen.columns["attack"] > 0) & outcome_is(seen, "allowed", "verified")
    reported = known(seen, np.inf, BY)[2]
    for user in np.unique(seen.columns["user_id"][done]).tolist():
        mine = reported[done & (seen.columns["user_id"] == user)]
        assert mine.all() or not mine.any()
    share = reported[done].mean()
    assert abs(share - BY.reported_share) < 0.15
    nobody = Labelling(reported_share=0.0)
    assert not known(seen, np.inf, nobody)[2].any()


def test_the_hold_out_asks_some_accounts_always_and_leaves_the_others(
    hold_out: tuple[Observed, Observed, Array],
) -> None:
    seen, mixed, held = hold_out
    assert (mixed.columns["decision"][held] == CHALLENGE).all()
    users = {name: set(mixed.columns["user_id"][m].tolist()) for name, m in (
        ("held", held), ("others", ~held)
    )}  # fmt: skip
    assert not users["held"] & users["others"]
    assert abs(len(users["held"]) / len(users["held"] | users["others"]) - BY.hold_out) < 0.08
    others = ~np.isin(seen.columns["user_id"], list(users["held"]))
    assert np.array_equal(mixed.columns["login_id"][~held], seen.columns["login_id"][others])
    assert np.array_equal(mixed.values[~held], seen.values[others])


def test_inverse_propensity_stands_for_all_logins(other: World) -> None:
    """Weighted counts, over several draws of the hold-out, are those of all logins."""
    counts = []
    for seed in range(12):
        seen, mixed, held = with_hold_out(other, NARROW, BY.hold_out, seed)
        ways = _ways(seen, mixed, held, BY, NARROW.challenge_score, other.facts.window[1], seed)
        weights = ways["hold-out and inverse propensity"][2]
        assert set(np.unique(weights).round(6).tolist()) <= {0.0, 1.0, 1 / BY.hold_out}
        truth = seen.columns["attack"] > 0
        attacks = weights[mixed.columns["attack"] > 0].sum()
        counts.append((weights.sum() / len(seen), attacks / truth.sum()))
    np.testing.assert_allclose(np.mean(counts, axis=0), 1.0, atol=0.08)
    alone = ways["challenged or reported alone"][2]
    assert alone.sum() < 0.5 * len(seen)  # which stand for nobody else


def test_what_selective_labels_teach(found: SelectiveLabels) -> None:
    truth, naive = found["the truth"], found["challenged or reported alone"]
    mended = found["hold-out and inverse propensity"]
    assert (truth.true.auc or 0) > 0.75
    assert naive.logins < truth.logins
    assert (naive.true.predicted or 0) > 2 * (truth.true.predicted or 1)  # sees attacks everywhere
    assert (mended.true.predicted or 1) < (naive.true.predicted or 0)
    assert (mended.true.auc or 0) > (naive.true.auc or 1)
    assert mended.worth.prevented.value > naive.worth.prevented.value
    assert found.asked_hold_out > found.asked  # the price of the remedy
    assert found.lost_hold_out > found.lost
    assert found.known_share[0] < BY.reported_share


def test_it_shows_itself(found: SelectiveLabels) -> None:
    assert found.sentence() in found._repr_html_()
    assert "AUC believed" in str(found)
    for figure in (found.plot(), found.plot_late()):
        assert figure._repr_png_()[1:4] == b"PNG"
    assert set(found.to_dict()["prevented"]) == {t.name for t in found.taught}


def test_what_makes_no_sense_is_refused(world: World, found: SelectiveLabels) -> None:
    for wrong in ({"hold_out": 0.0}, {"reported_share": 1.5}, {"report_days": 0.0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            Labelling(**wrong)
    with pytest.raises(InputError, match="gives no labels"):
        selective_labels(world, world, policy=Policy.password_only())
    with pytest.raises(InputError, match="no row 'gossip'"):
        found["gossip"]
