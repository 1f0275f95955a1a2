"""What signals are worth: every row meets the budget, and its figure is a replay's."""

from __future__ import annotations

import numpy as np
import pytest

from twofa_lab.analysis.ablation import FOUR, GROUPS, Ablation, _only, ablation
from twofa_lab.analysis.comparison import compare
from twofa_lab.analysis.thresholds_sweep import at_threshold
from twofa_lab.errors import InputError
from twofa_lab.risk.policy import Policy
from twofa_lab.risk.vector import names
from twofa_lab.traffic.scenario import Scenario
from twofa_lab.traffic.simulate import simulate
from twofa_lab.traffic.world import World

POINTS = "the four, by the rules' points"


@pytest.fixture(scope="module")
def found(attacked: Scenario, world: World) -> Ablation:
    other = simulate(attacked, users=500, days=60, seed=4, progress=False)
    return ablation(other, world, 0.1, remove=False, add=False, replicates=40, progress=False)


def test_every_row_challenges_just_the_budget(found: Ablation) -> None:
    assert [w.name for w in found.worths] == ["all signals", "the four signals", POINTS]
    for worth in found.worths:
        assert worth.challenge_rate == pytest.approx(0.1, abs=1e-12)
        assert 0.0 <= worth.lower <= 1.0
    assert found.worths[0].signals == tuple(n for g in GROUPS.values() for n in g)
    assert found.worths[1].signals == found.worths[2].signals
    assert len(found.worths[1].signals) == 5


def test_a_row_is_the_mixture_of_two_replays(found: Ablation, world: World) -> None:
    worth = found[POINTS]
    base = Policy.risk_based().model_copy(update={"trust_device_days": None})
    policies = [at_threshold(base, t) for t in worth.thresholds]
    study = compare(world, [*policies, Policy.password_only()], progress=False)
    high, low, alone = study.results
    assert high.challenge_rate.value <= 0.1 < low.challenge_rate.value
    let_through = (1 - worth.lower) * high.takeovers + worth.lower * low.takeovers
    assert worth.prevented.value == pytest.approx(1 - let_through / alone.takeovers)
    taken = (1 - worth.lower) * high.accounts_taken_over + worth.lower * low.accounts_taken_over
    losses = world.facts.costs.takeover * (alone.accounts_taken_over - taken)
    assert worth.avoided.value == pytest.approx(1000 * losses / alone.legitimate)
    assert found.takeovers == alone.takeovers


def test_shares_are_of_what_all_signals_prevent(found: Ablation) -> None:
    whole = found.share("all signals")
    assert (whole.value, whole.low, whole.high) == (1.0, 1.0, 1.0)
    four = found.share()
    every = found["all signals"].prevented.value
    assert four.value == pytest.approx(found["the four signals"].prevented.value / every)
    assert four.low <= four.value <= four.high
    assert found.to_dict()["share_of_value"] == four.value


def test_signals_left_out_say_nothing() -> None:
    values = np.arange(28, dtype=np.float32).reshape(2, 14) + 1
    kept = [name for group in FOUR for name in GROUPS[group]]
    told = _only(values, kept)
    assert told.dtype == np.float32
    for at, name in enumerate(names()):
        assert np.array_equal(told[:, at], values[:, at] if name in kept else [0, 0])


def test_it_shows_itself(found: Ablation) -> None:
    assert found.sentence() in found._repr_html_()
    assert "of the value" in str(found)
    assert found.plot()._repr_png_()[1:4] == b"PNG"


def test_what_makes_no_sense_is_refused(found: Ablation, world: World) -> None:
    with pytest.raises(InputError, match="budget"):
        ablation(world, world, 1.5)
    with pytest.raises(InputError, match="no row 'five'"):
        found["five"]
