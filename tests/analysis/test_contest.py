"""A contest between scorers: apart in time, account and campaign; nothing leaks; it renders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from twofa_lab.analysis.contest import Contest, contest
from twofa_lab.analysis.contest_entrants import ENTRANTS, ByVector
from twofa_lab.analysis.contest_field import Field, lay_out_field
from twofa_lab.analysis.contest_marks import Goals
from twofa_lab.errors import InputError
from twofa_lab.replay.beside import with_beside
from twofa_lab.risk.rule_scorer import RuleScorer
from twofa_lab.risk.scored import Scored
from twofa_lab.tables import ATTACKS
from twofa_lab.traffic.attack_models import ATTACK_MODELS
from twofa_lab.traffic.readers.log_world import read_logs
from twofa_lab.traffic.simulate import simulate
from twofa_lab.traffic.world import World

ROOT = Path(__file__).resolve().parents[2]
MODELS = [f"model: {name}" for name in ATTACK_MODELS]
SETUP = {"learn_from": None, "train_share": 0.6, "held_out": 0.5, "cookies": True, "seed": 0}


@pytest.fixture(scope="module")
def field(world: World) -> Field:
    return lay_out_field(world, attempts=80, **SETUP)


@pytest.fixture(scope="module")
def whole(world: World):
    parts = [shard.logins for shard in with_beside(world).shards()]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@pytest.fixture(scope="module")
def found(world: World) -> Contest:
    return contest(world, attempts=80, replicates=40, progress=False)


class TestField:
    def test_time_and_accounts_are_apart(self, field: Field):
        taught, judged = field.lesson, field.table["user_id"][field.judged]
        assert taught.training.time.max() < field.cut
        assert taught.past["time"].max() < field.cut
        assert field.table["time"][field.judged].min() >= field.cut
        assert not set(taught.past["user_id"]) & set(field.table["user_id"])
        for attack in field.attempts.values():
            assert set(attack.victim) <= set(field.table["user_id"])
            assert not len(attack.place) or attack.table["time"][attack.place].min() >= field.cut
        assert 0.3 < len(set(judged)) / 600 < 0.6

    def test_campaigns_judged_began_after_the_cut(self, field: Field, whole):
        judged = 0
        for kind, attack in field.attempts.items():
            if kind in MODELS:
                continue
            code = ATTACKS.index(kind)
            every = whole["attack"] == code
            for row in attack.place:
                same = every & (whole["campaign"] == attack.table["campaign"][row])
                if len(np.unique(whole["campaign"][every])) == 1:
                    victim = attack.victim[np.flatnonzero(attack.place == row)[0]]
                    same &= whole["user_id"] == victim
                assert whole["time"][same].min() >= field.cut
                judged += 1
        assert judged > 50

    def test_a_hit_is_judged_once(self, field: Field):
        for kind, attack in field.attempts.items():
            if kind not in MODELS:
                campaign = attack.table["campaign"][attack.place]
                hits = set(zip(attack.victim.tolist(), campaign.tolist(), strict=True))
                assert len(hits) == len(attack.place)

    def test_no_attacker_got_in_and_wrong_passwords_stay(self, field: Field, whole):
        attacks = field.table["attack"] > 0
        assert attacks.any()
        assert not field.table["password_ok"][attacks].any()
        here = np.isin(whole["user_id"], field.table["user_id"])
        failed = here & ~whole["password_ok"]
        assert (~field.table["password_ok"]).sum() == failed.sum()
        for attack in field.attempts.values():
            before = np.ones(len(attack.table["time"]), bool)
            before[attack.place] = False
            stolen = (attack.table["attack"] > 0) & attack.table["password_ok"]
            assert not (stolen & before).any()

    def test_everybody_judged_has_a_past(self, field: Field):
        user = field.table["user_id"]
        for row in np.flatnonzero(field.judged)[::37]:
            before = (user == user[row]) & (np.arange(len(user)) < row)
            done = field.table["password_ok"][before] | field.table["signup"][before]
            assert done.any()
        for attack in field.attempts.values():
            first = np.append(0, attack.place[:-1] + 1)
            assert (attack.place > first).all()

    def test_an_attempt_is_judged_as_if_the_log_ended_there(self, field: Field, whole):
        """The score in its copied account is that of the row in the log itself."""
        words = field.facts.vocabularies
        attack = field.attempts["targeted"]
        ours = RuleScorer().score(attack.table, words).score[attack.place]
        got_in = (whole["attack"] > 0) & whole["password_ok"]
        for at in range(0, len(attack.place), 7):
            row = attack.table["login_id"][attack.place[at]]
            keep = (whole["user_id"] == attack.victim[at]) & (~got_in | (whole["login_id"] == row))
            log = {name: column[keep] for name, column in whole.items()}
            score = RuleScorer().score(log, words).score
            assert score[log["login_id"] == row] == ours[at]

    def test_without_cookies_a_device_is_its_user_agent(self, world: World):
        blind = lay_out_field(world, attempts=20, **SETUP | {"cookies": False})
        pairs = np.stack([blind.table["device_id"], blind.table["user_agent"]])
        assert np.unique(pairs, axis=1).shape[1] == len(np.unique(pairs[1]))
        spoofed = blind.attempts["model: targeted"]
        device = spoofed.table["device_id"]
        assert all(
            device[p] in device[spoofed.table["user_id"] == at][:-1]
            for at, p in enumerate(spoofed.place)
        )

    def test_models_are_learned_where_asked(self, world: World):
        taught = lay_out_field(world, attempts=80, **SETUP | {"learn_from": "models"})
        assert taught.learn_from == "models"
        assert 200 < taught.lesson.training.attack.sum() <= 4 * 80
        assert taught.lesson.about["labels"] == "attackers built by the models"


class TestContest:
    def test_everyone_meets_the_same_logins_and_attackers(self, found: Contest):
        assert found.scorers == tuple(ENTRANTS)
        assert set(MODELS) < set(found.attackers)
        for attacker in found.attackers:
            assert len({found.marks[s][attacker].attempts for s in found.scorers}) == 1
            sizes = {found.marks[s][attacker].curve.legitimate for s in found.scorers}
            assert sizes == {found.counts["judged: legitimate"]}

    def test_who_knows_more_is_caught_less(self, found: Contest):
        for scorer in ("rules", "freeman", "learned"):
            naive, targeted = (
                found.marks[scorer][f"model: {m}"].area.value for m in ("naive", "targeted")
            )
            assert naive > targeted > 0.5

    def test_the_world_and_the_models_agree_on_who_is_hard(self, found: Contest):
        for scorer in ("rules", "learned"):
            kinds = found.marks[scorer]
            assert kinds["model: naive"].area.value > kinds["targeted"].area.value
            assert kinds["targeted"].area.value > kinds["stolen_device"].area.value

    def test_marks_do_not_hang_on_who_else_competes(self, world: World, found: Contest):
        alone = contest(world, ["freeman"], attempts=80, replicates=40, with_costs=False)
        for attacker in found.attackers:
            ours, theirs = alone.marks["freeman"][attacker], found.marks["freeman"][attacker]
            assert (ours.area, ours.caught) == (theirs.area, theirs.caught)

    def test_an_entrant_of_ones_own_and_one_that_tosses_a_coin(self, world: World):
        def coin(table, words):
            mixed = (table["time"] * 2_654_435_761 + table["user_id"] * 97) % 1_000_003
            return mixed / 1_000_003

        class Coin:
            def score(self, table, vocabularies):
                score = coin(table, vocabularies)
                zero = np.zeros(len(score), np.int32)
                return Scored(score, zero, ("",), zero.astype(np.uint8))

        own = {"coin": lambda _: Coin(), "flat": lambda _: ByVector(lambda v: np.zeros(len(v)))}
        result = contest(world, own, attempts=200, replicates=40, progress=False)
        for attacker in MODELS:
            assert abs(result.marks["coin"][attacker].area.value - 0.5) < 0.08
            assert result.marks["flat"][attacker].area.value == 0.5
            assert result.best(attacker) == "coin"

    def test_medians_never_count_the_first_login_and_never_fall_with_the_share(
        self, found: Contest
    ):
        for models in found.medians.values():
            assert set(models) == {"naive", "targeted", "very_targeted"}
            for shares in models.values():
                ordered = [shares[s] for s in sorted(shares)]
                for at, n in enumerate((5, 10, 20, 39)):
                    values = [e[at].value for e in ordered if np.isfinite(e[at].value)]
                    assert values == sorted(values)
                    assert all(value <= n - 1 for value in values)

    def test_costs_are_of_policies_and_password_only_is_cheapest_to_people(self, found: Contest):
        names = [result.name for result in found.costs]
        assert names == ["password-only", "universal", "rules", "rules, fitted", "freeman",
                         "learned"]  # fmt: skip
        rates = {r.name: r.challenge_rate.value for r in found.costs}
        assert rates["password-only"] == 0.0
        assert rates["universal"] > 0.9
        taken = {r.name: r.takeover_rate.value for r in found.costs}
        assert taken["universal"] < taken["learned"] < taken["password-only"]

    def test_it_repeats_to_the_bit(self, world: World):
        twice = [
            contest(world, ["rules", "rules, fitted"], attempts=40, replicates=20, seed=3,
                    with_costs=False) for _ in range(2)
        ]  # fmt: skip
        assert str(twice[0]) == str(twice[1])


class TestRendering:
    def test_every_sheet_names_every_scorer_or_its_source(self, found: Contest):
        for sheet in (found.table(), found.areas(), found.challenges(), found.precisions()):
            assert sheet.columns == ("attacker", *found.scorers)
            assert [row[0] for row in sheet.rows] == list(found.attackers)
        assert "ACM TOPS 2022 (doi 10.1145/3546069)" in str(found.beside_medians())
        assert "31,269,264 rows" in str(found.beside_benchmark())
        assert "4/6/8/6" in str(found.beside_medians())
        assert "0.933 / 35.0 % / 20.1 %" in str(found.beside_benchmark())
        assert "too few to judge" in str(found.split()) or not found.too_few
        assert [row[0] for row in found.calibration().rows] == ["learned", "unconstrained"]
        assert found.cost().rows[0][0] == "password-only"
        assert "<table" in found._repr_html_()
        assert str(found) == repr(found)

    @pytest.mark.parametrize("name", ["plot", "plot_precision", "plot_medians", "plot_calibration"])
    def test_figures_are_pictures(self, found: Contest, name):
        assert getattr(found, name)()._repr_png_()[1:4] == b"PNG"

    def test_the_benchmark_stands_beside_the_right_entrant(self, found: Contest):
        rows = {row[0]: row for row in found.beside_benchmark().rows}
        mark = found.marks["freeman"]["model: naive"]
        assert rows["Freeman, naive"][2].startswith(f"{mark.area.value:.3f} / ")
        assert rows["Freeman, real takeovers"][2] == "n/a"


class TestLogs:
    def test_a_log_without_labels_or_people(self, world: World):
        """The world as a log: no potential outcomes, no attack known."""
        bare = replace(world, facts=replace(world.facts, human_side="none"), source=Bare(world))
        result = contest(bare, attempts=80, replicates=20, cookies=False, progress=False)
        assert result.learn_from == "models"
        assert list(result.attackers) == MODELS
        assert result.costs == ()
        assert result.calibrations == {}
        assert result.marks["learned"]["model: naive"].area.value > 0.9

    def test_the_real_sample(self):
        folder = ROOT.parent / "shared" / "data"
        if not folder.is_dir():
            pytest.skip("the real logs are not beside this checkout (../shared/data)")
        log = read_logs(folder / "rba-sample" / "rba-sample-2000.csv", progress=False)
        result = contest(log, attempts=150, replicates=40, train_share=0.4, progress=False)
        assert result.learn_from == "models"
        assert {"model: naive", "model: vpn"} <= set(result.attackers)
        assert result.counts["judged: legitimate"] > 50
        assert result.too_few["model: very_targeted"] == 0  # the sample is of one day
        for scorer in ("freeman", "rules"):
            assert 0.5 < result.marks[scorer]["model: naive"].area.value <= 1.0

    def test_the_head_is_too_short(self):
        folder = ROOT.parent / "shared" / "data"
        if not folder.is_dir():
            pytest.skip("the real logs are not beside this checkout (../shared/data)")
        log = read_logs(folder / "rba-head" / "rba-head-18.csv", progress=False)
        with pytest.raises(InputError, match="too few logins for a contest"):
            contest(log)


class Bare:
    """A world's shards as a log has them: legitimate logins, with nothing but what is seen."""

    def __init__(self, world: World) -> None:
        self.source = world.source

    def __len__(self) -> int:
        return len(self.source)

    def load(self, index, columns):
        shard = self.source.load(index, None)
        keep = shard.logins["attack"] == 0
        names = [name for name in shard.logins if not name.startswith(("po_", "campaign"))]
        logins = {name: shard.logins[name][keep] for name in names}
        starts = np.append(0, np.cumsum(keep))[shard.starts]
        return replace(shard, logins=logins, starts=starts)


class TestRefusals:
    def test_calls_that_are_wrong(self, world: World):
        for call, message in (
            ({"scorers": ["oracle"]}, "unknown scorer 'oracle': use one of rules"),
            ({"scorers": {}}, "at least one scorer"),
            ({"train_share": 1.0}, "train_share must be between 0 and 1"),
            ({"held_out": 0.0}, "held_out must be between 0 and 1"),
            ({"attempts": 3}, "attempts must be at least 10"),
        ):
            with pytest.raises(InputError, match=message):
                contest(world, **call)

    def test_an_attacker_that_was_not_judged(self, found: Contest):
        with pytest.raises(InputError, match="no attacker 'ghost' was judged: use one of"):
            found.best("ghost")

    def test_a_world_with_hardly_anybody(self):
        small = simulate("us-consumer", users=2, days=7, seed=1, progress=False)
        with pytest.raises(InputError, match="too few logins for a contest"):
            contest(small)

    def test_goals_are_kept(self, world: World):
        wide = contest(world, ["rules"], attempts=40, replicates=10, goals=Goals(budget=0.2),
                       with_costs=False)  # fmt: skip
        assert "at most 20 %" in wide.table().title
